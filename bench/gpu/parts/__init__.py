"""The parts of the first ten minutes. Each yields figures as it finds them, so that a stopped part keeps some."""
