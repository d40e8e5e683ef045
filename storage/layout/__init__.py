"""How tables are laid out in files: columns, partitions, names, and plain records of files."""
