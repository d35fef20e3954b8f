"""Optimizer, learning rate and the running mean of the weights."""
