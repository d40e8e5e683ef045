"""Reading by condition: which files, row groups and rows meet it, and in how many parts."""
