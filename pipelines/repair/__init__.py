"""What a damaged file costs, and making it anew from what still exists."""
