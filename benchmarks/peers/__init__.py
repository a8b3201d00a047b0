"""Sanad and other libraries for retrieval, measured side by side; see `benchmarks.peers.__main__`."""
