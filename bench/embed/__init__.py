"""How fast a store is embedded, beside the network's bare forward pass."""
