"""How closely `strata storage verify` looks; for its flags, so it imports nothing."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["VerifyLevel"]


class VerifyLevel(StrEnum):
    """How closely files are looked at; each level includes those before."""

    SIZES = "sizes"
    """The file is there, with the size that the catalog has."""
    FOOTERS = "footers"
    """Its footer can be read and tells what the catalog has: rows, row groups, document ids."""
    FULL = "full"
    """Every byte is read and every page decoded; digest and checksum hold."""
