"""Old snapshots, files that nothing refers to, uploads that were never completed."""
