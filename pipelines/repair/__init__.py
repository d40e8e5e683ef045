"""Repairing damaged files: what they held, and how to rebuild them from what still exists."""
