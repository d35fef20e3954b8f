"""What a frozen backbone is worth on labelled people: a linear head on it against one on random weights."""
