"""Benchmarks of datakit and its peers: run from the repository root, never imported by datakit, never shipped."""
