"""How much an ingest takes: arithmetic on measured rates, before any machine is rented (docs/scale.md)."""
