"""`--dry-run` and `strata storage plan`: what would be read, written, moved or rewritten."""
