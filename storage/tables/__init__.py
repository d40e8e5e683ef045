"""The tables of a corpus, and each way to change them; start at `catalog.open_corpus`."""
