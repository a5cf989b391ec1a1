"""Cleaning: the steps, each a function of frames, and the run that puts them together."""
