"""What ingest and train share (store, storage, ids, settings, progress, command line), and commands on a store."""
