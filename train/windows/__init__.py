"""From a store's tables and shards to batches: members, lanes, draws, stream (docs/sampling.md)."""
