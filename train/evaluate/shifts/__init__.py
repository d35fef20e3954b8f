"""Changes of test windows that a network meets in use: other orientation, calibration, noise, rate, and an attack."""
