"""The HTML page of a version: one file, no network."""
