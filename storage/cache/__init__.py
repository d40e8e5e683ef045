"""Blocks of remote files on a local disk."""
