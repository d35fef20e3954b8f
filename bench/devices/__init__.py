"""Our readers of ActiGraph and GENEActiv files compared with other readers."""
