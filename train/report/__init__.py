"""Report a training run from its log: pictures and final numbers."""
