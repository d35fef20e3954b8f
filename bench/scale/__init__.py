"""One driver and the tables of a population."""
