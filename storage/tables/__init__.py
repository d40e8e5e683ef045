"""The tables of a corpus, and every way to change them; start at `catalog.open_corpus`."""
