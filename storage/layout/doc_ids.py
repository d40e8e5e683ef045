"""The parts of a document id: the ordinal of its input file, then its position in the file."""

from __future__ import annotations

__all__ = ["POSITION_BITS"]

POSITION_BITS = 37
LARGEST_ORDINAL = 2 ** (63 - POSITION_BITS) - 1
