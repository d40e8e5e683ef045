"""Taking documents back: out of every table, for good, with a receipt."""
