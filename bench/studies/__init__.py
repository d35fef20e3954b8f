"""Studies: which pretraining makes the better features, one table each (docs/studies.md)."""
