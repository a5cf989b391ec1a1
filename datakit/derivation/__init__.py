"""Versions from versions: shares that keep what belongs together apart from each other, and mixtures."""
