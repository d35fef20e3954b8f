"""GENEActiv: reads .bin files, a text header and pages of hexadecimal digits."""
