"""Tables from any device: reads .csv and .parquet files, one row per sample, including ActiGraph's own csv exports."""
