"""Reading the tables of a corpus: its inputs, texts, removals, cuts, survivors and names."""
