"""Data files as tasks receive them: where they lie, and which document ids they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

__all__ = ["FingerprintFile", "LedgerFile", "Part", "RemovedBy", "TextFile", "group_files"]

File = TypeVar("File")


@dataclass(frozen=True, slots=True)
class Part:
    """Row groups of a file of `documents`, and the range of document ids in the file."""

    url: str
    row_groups: tuple[int, ...]
    min_doc_id: int
    max_doc_id: int


class RemovedBy(StrEnum):
    """The table that says that a document is removed, as the reason in a report."""

    CLUSTERS = "duplicate"
    CONTAINED = "contaminated"


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A file of `clusters`, whose rows also tell who is kept, or of `contained`."""

    url: str
    min_doc_id: int
    max_doc_id: int
    reason: RemovedBy = RemovedBy.CLUSTERS


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file of `documents`; ``shift`` is added to its document ids, as to those of fingerprints.

    ``min_doc_id`` and ``max_doc_id`` are its smallest and largest ids after that.
    """

    url: str
    min_doc_id: int
    max_doc_id: int
    shift: int = 0


@dataclass(frozen=True, slots=True)
class FingerprintFile:
    """A file of `fingerprints`; ``shift`` is added to its document ids.

    Documents of other corpora get ids below 0, so that they differ from our own and sort first.
    """

    url: str
    shift: int = 0


def group_files(files: Sequence[File], tasks: int) -> list[tuple[File, ...]]:
    """Deal files out to at most so many tasks, keeping neighbours together."""
    number = min(tasks, len(files))
    bounds = [len(files) * place // max(number, 1) for place in range(number + 1)]
    return [tuple(files[a:b]) for a, b in pairwise(bounds)]
