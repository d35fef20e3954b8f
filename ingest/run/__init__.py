"""The ingest run on Ray: probe, plan, run, commit. Only the driver writes tables; workers write their slots."""
