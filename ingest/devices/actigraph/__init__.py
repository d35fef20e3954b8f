"""ActiGraph (.gt3x)."""
