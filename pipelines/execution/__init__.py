"""How a stage runs: its contract (`stage`), its tasks, the files they exchange."""
