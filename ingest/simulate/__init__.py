"""The simulator: recordings of an invented population, in the formats of real devices, with a known truth."""
