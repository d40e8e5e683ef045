"""Why one document is in or out: its path (`document`), its cluster, its chain and the diff."""
