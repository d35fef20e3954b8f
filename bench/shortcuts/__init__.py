"""How much of each pretext task can be answered without recognising movement."""
