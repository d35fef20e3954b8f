"""Processes, collectives and the engines that take a step on all of them."""
