"""How far people agree, and how good each of them is."""
