"""Benchmarks, one per folder: `python -m bench.stream` and so on. Results are written to runs/bench/."""
