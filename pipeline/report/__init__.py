"""`persondays report`: one HTML page about an ingested cohort, made from the store's tables."""
