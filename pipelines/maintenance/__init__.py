"""Work on files that changes no row: move, rewrite, verify, roll back."""
