"""How closely `strata storage verify` checks files; its flags need this, so it imports nothing."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["VerifyLevel"]


class VerifyLevel(StrEnum):
    """How closely files are checked; each level includes the previous ones."""

    SIZES = "sizes"
    """The file exists and has the size that the catalog records."""
    FOOTERS = "footers"
    """Its footer can be read and agrees with the catalog: rows, row groups, document ids."""
    FULL = "full"
    """Every byte is read and every page decoded; digest and checksum match."""
