"""The window store: arrays, tables, the lease, and what can be computed from them."""
