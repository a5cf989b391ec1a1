"""Campaigns: which rows people judge, what they see of them, and what of it is on the server."""
