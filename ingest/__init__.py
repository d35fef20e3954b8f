"""Recordings to person-days. Imports neither `train` nor torch."""
