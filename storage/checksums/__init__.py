"""Checksums of rows and digests of files."""
