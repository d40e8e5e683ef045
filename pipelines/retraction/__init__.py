"""Retracting documents: they leave every table for good, and a receipt says what was removed."""
