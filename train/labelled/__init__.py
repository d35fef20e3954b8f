"""Converters of labelled recordings to X.npy, Y.npy and pid.npy: windows in g at 30 Hz of one activity each."""
