"""Pretext views made a batch at a time, compared with one window at a time."""
