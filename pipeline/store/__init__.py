"""The window store: arrays, tables, the lease, and what may be read from them."""
