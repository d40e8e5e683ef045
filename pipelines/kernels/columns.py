"""Records of columns: NumPy arrays of one length, a row at each index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

__all__ = ["Columns"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of frozen records whose fields are all columns of the same rows."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of some parts, of at least one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, rows: np.ndarray | slice) -> Self:
        """Some of the rows, by index or mask."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))
