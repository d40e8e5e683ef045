"""Comparing files with the catalog and with their own footers."""
