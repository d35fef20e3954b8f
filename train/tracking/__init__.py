"""The log of a run, and the boards that show it."""
