"""How a campaign stands: its page, and its progress."""
