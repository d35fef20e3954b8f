"""What a training run did, told from its log: pictures and final numbers."""
