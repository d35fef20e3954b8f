"""The sections of the report, a file each, and what they share."""
