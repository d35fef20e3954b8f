"""The stream of windows compared with other loaders, how it grows, and how long planning a population takes."""
