"""Comparing the files with what the catalog and their footers say."""
