"""The contents of a window store: its totals, its calibrations, and a picture of a person-day."""
