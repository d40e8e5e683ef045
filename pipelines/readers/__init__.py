"""Readers: input files to batches of documents and rejects."""
