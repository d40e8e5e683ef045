"""Relocation: the tables of a corpus whose folders were moved or copied, told where they are."""
