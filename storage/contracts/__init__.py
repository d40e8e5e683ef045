"""What a store is, and the values that say how files are reached: they travel to the workers."""
