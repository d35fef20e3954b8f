"""Tables: csv and Parquet."""
