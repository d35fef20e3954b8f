"""Tables from any device: reads .csv and .parquet files, a row a sample, including ActiGraph's own csv exports."""
