"""Simulated recordings read by other programs and compared with real ones."""
