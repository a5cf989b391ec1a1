"""The peers: each runs in a virtual environment of its own (install.py) through a small script of its own."""
