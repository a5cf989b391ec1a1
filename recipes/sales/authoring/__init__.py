"""Compose the good rows from the hand-written pieces: one module a file of good/."""
