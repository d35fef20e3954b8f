"""Companions: windows that come with every drawn one (docs/sampling.md). `kind.py` defines the interface."""
