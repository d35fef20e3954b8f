"""How well activities of people whom a classifier has not seen are found, against the simulator's truth."""
