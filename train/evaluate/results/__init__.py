"""What an evaluation writes: results.json, tables and pictures."""
