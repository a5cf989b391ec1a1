"""Kernels: what is computed over the bytes of texts, compiled by numba; and the tables they read."""
