"""Floor 2: what happens to documents."""
