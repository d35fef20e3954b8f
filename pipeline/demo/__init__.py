"""The whole road on one machine: the demo runs every command as its users would."""
