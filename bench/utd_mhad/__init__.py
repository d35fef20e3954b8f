"""The study of Khaertdinov et al. on UTD-MHAD, done again (docs/studies.md)."""
