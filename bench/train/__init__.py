"""A training step compared with the published recipe in plain PyTorch."""
