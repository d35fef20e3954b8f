"""Checkpoints: the format and the saver."""
