"""`persondays demo`: every step of the pipeline on simulated recordings, on one machine."""
