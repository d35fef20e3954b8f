"""Compiled numerical code that both halves share."""
