"""How well `persondays align` finds the clocks of simulated devices."""
