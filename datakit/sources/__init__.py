"""Rows from files: which files there are, their bytes as UTF-8, and blocks of rows with their key."""
