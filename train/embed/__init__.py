"""`persondays embed`: the features of a store's windows, as a table."""
