"""How many recordings and workers one ingest driver handles."""
