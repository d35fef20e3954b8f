"""The signal steps of one recording, one file each: pure functions of arrays, each with its source."""
