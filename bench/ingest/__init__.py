"""Ingesting a week of one recording, compared with other readers, on one core."""
