"""Files on a local disk or in object storage."""
