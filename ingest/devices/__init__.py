"""Readers of device files: a folder per device, and what they share."""
