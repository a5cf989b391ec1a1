"""Datasets and their immutable versions: commit, find, verify."""
