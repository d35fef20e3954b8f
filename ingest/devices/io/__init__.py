"""Reading bytes: archives, compression, memory maps, range reads."""
