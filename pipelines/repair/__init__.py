"""What a damaged file costs, and rebuilding it from what still exists."""
