"""What is in a window store: its totals, and one person-day as a picture."""
