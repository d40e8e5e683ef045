"""Data files as tasks receive them: where they are, and which range of document ids they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from strata.storage.layout.records import LAST_ID, TableFile
from strata.storage.reading.scan import group_bounds
from strata.storage.writing.parquet import WrittenFile

__all__ = ["DataFile", "RemovedBy", "RowGroups", "data_files", "group_files"]

FIRST_ID = -LAST_ID - 1
"""The smallest possible document id: ids of reference corpora are below 0."""

File = TypeVar("File")


class RemovedBy(StrEnum):
    """The reason for a removal in a report, by the table that removes the document."""

    CLUSTERS = "duplicate"
    CONTAINED = "contaminated"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows that belong to documents, as it travels to tasks.

    Attributes:
        url: where it is.
        min_doc_id: smallest id of its documents, after the shift; if unknown, the smallest possible
            id.
        max_doc_id: largest id, likewise.
        shift: is added to the ids in the file. Documents of reference corpora get ids below 0, so
            that they differ from our own and sort first.
        reason: why documents of the file are removed, if its table removes documents; a file of
            `clusters` also has documents that are kept.
    """

    url: str
    min_doc_id: int = FIRST_ID
    max_doc_id: int = LAST_ID
    shift: int = 0
    reason: RemovedBy | None = None

    @classmethod
    def of(cls, file: TableFile, shift: int = 0, reason: RemovedBy | None = None) -> DataFile:
        """A published file of a table."""
        low, high = file.min_doc_id + shift, file.max_doc_id + shift
        return cls(file.url, low, high, shift, reason)

    @classmethod
    def of_written(cls, file: WrittenFile, reason: RemovedBy | None = None) -> DataFile:
        """A file that is not published yet."""
        bounds = group_bounds(file.metadata, "doc_id")
        return cls(file.url, int(bounds[:, 0].min()), int(bounds[:, 1].max()), reason=reason)

    def overlaps(self, low: int, high: int) -> bool:
        """Whether it may hold a document between low and high, both included."""
        return self.min_doc_id <= high and low <= self.max_doc_id


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Some row groups of a file, by number."""

    file: DataFile
    groups: tuple[int, ...]


def data_files(
    files: Iterable[TableFile], shift: int = 0, reason: RemovedBy | None = None
) -> tuple[DataFile, ...]:
    """Published files of a table."""
    return tuple(DataFile.of(file, shift, reason) for file in files)


def group_files(files: Sequence[File], tasks: int) -> list[tuple[File, ...]]:
    """Deal files out to at most this many tasks, keeping neighbours together."""
    number = min(tasks, len(files))
    bounds = [len(files) * place // max(number, 1) for place in range(number + 1)]
    return [tuple(files[a:b]) for a, b in pairwise(bounds)]
