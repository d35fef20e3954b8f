"""How the bytes of a recording are read: archives, compression, memory maps, and the two ends of a file."""
