"""Why one document is in or out: its way (`document`), its cluster, its chain and the diff."""
