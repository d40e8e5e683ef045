"""Planning how a table is read: which files of a snapshot, in how many parts of equal size.

A plan travels to workers that know neither the catalog nor PyIceberg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.reading.predicates import Predicate, matching_groups, matching_rows
from strata.storage.reading.scan import open_parquet

__all__ = ["FilePiece", "ReadPart", "pack", "read_part"]

# The cost of opening a file, in bytes that could be read in that time: small files are grouped,
# but not too many of them.
_OPEN_BYTES = 1 << 20
# Larger batches take memory on both sides of the pipe and are not faster.
_BATCH_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A file, or some of its row groups.

    Attributes:
        url: where it is.
        groups: numbers of row groups; None for all.
    """

    url: str
    groups: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ReadPart:
    """What one task reads.

    Attributes:
        pieces: what to read, in the order of the document ids.
        columns: top-level columns, in this order.
        predicates: the conditions on the rows.
    """

    pieces: tuple[FilePiece, ...]
    columns: tuple[str, ...]
    predicates: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class _Weighed:
    piece: FilePiece
    weight: int


def pack(files: Sequence[TableFile], part_bytes: int) -> list[tuple[FilePiece, ...]]:
    """Divide files into parts of about ``part_bytes`` on disk, neighbours together.

    A file that is larger is divided by its row groups.
    """
    weighed = [each for file in files for each in _pieces(file, part_bytes)]
    total = sum(each.weight for each in weighed)
    count = max(1, round(total / max(1, part_bytes)))
    parts: list[list[FilePiece]] = [[] for _ in range(count)]
    before = 0
    for each in weighed:
        middle = before + each.weight // 2
        parts[min(count - 1, middle * count // total)].append(each.piece)
        before += each.weight
    return [tuple(part) for part in parts if part]


def _pieces(file: TableFile, part_bytes: int) -> Iterator[_Weighed]:
    # The number of row groups may be unknown for files of other writers.
    count = max(1, min(file.row_groups, -(-file.n_bytes // max(1, part_bytes))))
    weight = _OPEN_BYTES + file.n_bytes // count
    if count == 1:
        yield _Weighed(FilePiece(file.url, None), weight)
        return
    bounds = [number * file.row_groups // count for number in range(count + 1)]
    for low, high in pairwise(bounds):
        yield _Weighed(FilePiece(file.url, tuple(range(low, high))), weight)


def read_part(store: Store, part: ReadPart) -> Iterator[pa.RecordBatch]:
    """Read the rows of a part that meet its predicates.

    Raises:
        InputError: a file is damaged.
        InputMissingError: a file is missing.
    """
    asked = [predicate.column for predicate in part.predicates]
    columns = list(dict.fromkeys([*part.columns, *asked]))
    for piece in part.pieces:
        with open_parquet(store, Url.parse(piece.url)) as scan:
            groups = range(scan.metadata.num_row_groups) if piece.groups is None else piece.groups
            matching = matching_groups(scan.metadata, groups, part.predicates)
            for batch in scan.read(matching, columns, _BATCH_BYTES):
                yield matching_rows(batch, part.predicates).select(list(part.columns))
