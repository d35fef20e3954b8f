"""Export a checkpoint as a folder that anyone with torch can load: weights, network, hub entry points, model card."""
