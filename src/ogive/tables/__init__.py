"""Benchmark tables: what published searches would have measured, as folders of memory-mapped columns."""
