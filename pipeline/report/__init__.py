"""One page about an ingested cohort, from the store's tables."""
