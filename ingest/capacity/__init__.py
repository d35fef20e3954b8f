"""What an ingest costs, before it runs: estimates from measured rates, trials and dry runs (docs/scale.md)."""
