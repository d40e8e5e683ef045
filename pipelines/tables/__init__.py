"""Reading a corpus back: its inputs, texts, removals, cuts, survivors and names."""
