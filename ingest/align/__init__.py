"""`persondays align`: find which person-days of a participant were recorded at the same time (docs/align.md)."""
