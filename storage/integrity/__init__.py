"""Integrity: checksums of rows, digests of files, and their verification."""
