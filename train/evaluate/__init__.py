"""Evaluate a frozen backbone on labelled people: a linear head on its features, compared with random weights."""
