"""What a user of a relocation vouches for; imports nothing, since flags name it."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Vouched"]


class Vouched(StrEnum):
    """What only the user can know."""

    OLD_IS_GONE = "old is gone"
    """The old place, which does not answer, is gone for good."""
    OWN_CATALOG = "own catalog"
    """The catalog of a copy is not that of the original."""
