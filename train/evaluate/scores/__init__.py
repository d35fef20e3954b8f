"""Scores of people, and comparisons of scores."""
