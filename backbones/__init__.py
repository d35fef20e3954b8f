"""Backbones that come with the project: a folder for each, as `persondays export` writes them, and no code."""
