"""How tables lie in files: columns, partitions, names, and plain records of the files."""
