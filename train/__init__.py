"""Person-days to backbone. Imports neither `ingest` nor ray; importable without ray, deepspeed and zarr."""
