"""Benchmarks: the hub against what its users would write today, and against what the machine can do at most."""
