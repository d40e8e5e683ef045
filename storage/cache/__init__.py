"""A local cache of blocks of remote files, shared by all processes of a host."""
