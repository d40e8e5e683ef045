"""Results as tables for a terminal or as JSON; clusters and receipts."""
