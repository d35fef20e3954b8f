"""What the two halves share: window store, tables, object storage, keyed ids, settings, progress, command line."""
