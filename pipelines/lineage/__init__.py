"""How results depend on each other: their keys, staleness, watermarks, and the retraction guard.

No other room computes the key of a result.
"""
