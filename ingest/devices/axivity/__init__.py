"""Axivity AX3, and the accelerometer of the AX6: reads .cwa files, a header and blocks of 512 bytes."""
