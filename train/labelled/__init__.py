"""Make labelled sets (X.npy, Y.npy, pid.npy): windows of one activity each, in g at 30 Hz."""
