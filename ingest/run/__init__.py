"""The ingest run on Ray: sources, probe, plan, run, commit. Only the driver writes tables; workers fill their slots."""
