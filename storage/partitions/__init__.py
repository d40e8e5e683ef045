"""Partitions: their specs, values, folders, and the writers that keep to them."""
