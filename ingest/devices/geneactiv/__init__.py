"""GENEActiv (.bin)."""
