"""Inputs and the pieces they are read in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from strata.errors import InputError
from strata.pipelines.readers.formats import FORMATS, Cut
from strata.settings import FieldMapping, InputFormat
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import open_parquet

__all__ = ["Compression", "InputFile", "ReadLimits", "ReadOptions", "Split", "plan_splits"]

BATCH_BYTES = 8_000_000
# Reading a footer mostly means waiting for a store.
FOOTERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What bounds the memory of a reader, in bytes: the largest document, and a batch."""

    max_document_bytes: int
    batch_bytes: int = BATCH_BYTES


class Compression(StrEnum):
    """How a file is compressed as a whole, by its last suffix."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"
    BZIP2 = ".bz2"
    XZ = ".xz"

    @property
    def expansion(self) -> float:
        """Bytes of text that a byte of such a file usually expands to."""
        return {"": 1.0, ".gz": 3.5, ".zst": 4.0, ".bz2": 5.0, ".xz": 5.0}[self.value]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the records of a file are read."""

    fields: FieldMapping = field(default_factory=FieldMapping)
    delimiter: str | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read.

    Attributes:
        uri: URL of the file.
        ordinal: its ordinal in the corpus; the high bits of its documents' ids.
        size: bytes.
        identity: ETag, or modification time.
        source: name of the source.
        format: jsonl, parquet, csv or text.
        compression: of the file as a whole.
        options: field mapping and the like.
        cause: one string that changes whenever the documents of the file may.
        start: offset of the first line that is read; above 0 where the lines before it were read
            as another input.
    """

    uri: str
    ordinal: int
    size: int
    identity: str
    source: str
    format: InputFormat
    compression: Compression
    options: ReadOptions
    cause: str
    start: int = 0

    @property
    def url(self) -> Url:
        """The place of the file."""
        return Url.parse(self.uri)


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of a file that one task reads.

    Attributes:
        file: the file.
        start: first byte (plain JSON lines) or first row group (Parquet).
        end: end of the piece, not included; the size of the file where it is read whole.
        first_row: number of the first row in the file (Parquet).
        weight: estimated bytes of text, for balancing.
    """

    file: InputFile
    start: int
    end: int
    first_row: int
    weight: int


def plan_splits(files: Sequence[InputFile], store: Store, split_bytes: int) -> list[Split]:
    """Cut files into pieces of about ``split_bytes``, in ordinal order, as their formats say."""
    footers = [file for file in files if _has_row_groups(file)]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        found = pool.map(lambda file: _by_row_groups(file, store, split_bytes), footers)
        pieces = [
            next(found) if _has_row_groups(file) else _cut(file, split_bytes) for file in files
        ]
    return [split for of_file in pieces for split in of_file]


def _has_row_groups(file: InputFile) -> bool:
    return FORMATS[file.format].cut is Cut.ROW_GROUPS


def _cut(file: InputFile, split_bytes: int) -> list[Split]:
    if FORMATS[file.format].cut is Cut.BYTES and file.compression is Compression.NONE:
        length = file.size - file.start
        pieces = max(1, round(length / split_bytes))
        bounds = [file.start + length * piece // pieces for piece in range(pieces + 1)]
        return [Split(file, start, end, 0, end - start) for start, end in pairwise(bounds)]
    return [_whole(file)]


def _whole(file: InputFile) -> Split:
    return Split(file, 0, file.size, 0, int(file.size * file.compression.expansion))


def _by_row_groups(file: InputFile, store: Store, split_bytes: int) -> list[Split]:
    try:
        with open_parquet(store, file.url) as scan:
            metadata = scan.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            facts = [(group.num_rows, group.total_byte_size) for group in groups]
    except InputError:
        # The task that reads the file finds the damage again, and records it.
        return [_whole(file)]
    splits: list[Split] = []
    start = first_row = rows = weight = 0
    for number, (group_rows, group_bytes) in enumerate(facts):
        if weight and weight + group_bytes > split_bytes:
            splits.append(Split(file, start, number, first_row, weight))
            start, first_row, rows, weight = number, first_row + rows, 0, 0
        rows += group_rows
        weight += group_bytes
    splits.append(Split(file, start, len(facts), first_row, weight))
    return splits
