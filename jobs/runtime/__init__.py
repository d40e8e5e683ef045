"""What every job needs at run time."""
