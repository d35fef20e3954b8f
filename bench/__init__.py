"""Benchmarks, a folder each: `python -m bench.stream` and so on. Results go below runs/bench/."""
