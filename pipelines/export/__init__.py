"""Rows and file formats of `strata export`."""
