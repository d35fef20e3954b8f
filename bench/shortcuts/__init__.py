"""How much of each pretext task can be answered without knowing movement."""
