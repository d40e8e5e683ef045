"""Lifecycle of files: reads, rules, moves between tiers, and what tiers hold and cost."""
