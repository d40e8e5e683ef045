"""How good a deduplication is: the audit with error bars, and the tuning of its settings."""
