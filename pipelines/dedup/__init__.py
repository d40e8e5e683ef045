"""Near-duplicate detection: from sketches to verified pairs, clusters and the ledger of survivors.

Start with `search` (candidate pairs), then `edges`, `election` (who survives) and `ledger`.
"""
