"""Inputs and the pieces they are read in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

from strata.errors import InputError
from strata.pipelines.readers.compression import MAGIC_BYTES, Compression
from strata.pipelines.readers.formats import FORMATS, Cut
from strata.settings import FieldMapping, InputFormat, NulRule, ShardSettings
from strata.storage.contracts.store import ByteRange, Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import open_parquet

__all__ = ["InputFile", "ReadLimits", "ReadOptions", "Split", "plan_splits"]

BATCH_BYTES = 8_000_000
# Reading a footer mostly means waiting for a store.
FOOTERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a document may be.

    Attributes:
        max_document_bytes: the largest text.
        batch_bytes: of a batch; with the largest text it bounds the memory of a reader.
        nul: what becomes of texts with NUL characters.
    """

    max_document_bytes: int
    batch_bytes: int = BATCH_BYTES
    nul: NulRule = NulRule.REMOVE

    @classmethod
    def of(cls, settings: ShardSettings) -> ReadLimits:
        """As the settings say."""
        return cls(int(settings.max_document_mb * 1e6), nul=settings.nul)


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
        compression: of the file as a whole, by its name; its bytes have the last word.
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
    opened = [file for file in files if _is_opened(file, split_bytes)]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        found = pool.map(lambda file: _opened(file, store, split_bytes), opened)
        pieces = [
            next(found) if _is_opened(file, split_bytes) else [_whole(file)] for file in files
        ]
    return [split for of_file in pieces for split in of_file]


def _is_opened(file: InputFile, split_bytes: int) -> bool:
    """Whether the pieces of a file depend on its bytes."""
    return FORMATS[file.format].cut is Cut.ROW_GROUPS or _pieces(file, split_bytes) > 1


def _opened(file: InputFile, store: Store, split_bytes: int) -> list[Split]:
    if FORMATS[file.format].cut is Cut.ROW_GROUPS:
        return _by_row_groups(file, store, split_bytes)
    return _by_bytes(file, store, _pieces(file, split_bytes))


def _pieces(file: InputFile, split_bytes: int) -> int:
    if FORMATS[file.format].cut is Cut.BYTES and file.compression is Compression.NONE:
        return max(1, round((file.size - file.start) / split_bytes))
    return 1


def _by_bytes(file: InputFile, store: Store, pieces: int) -> list[Split]:
    try:
        (head,) = store.read_ranges(file.url, [ByteRange(0, MAGIC_BYTES)])
    except InputError:
        # The task that reads the file finds the same, and records it.
        return [_whole(file)]
    compression = Compression.of_bytes(head)
    if compression is not Compression.NONE:
        return [_whole(replace(file, compression=compression))]
    length = file.size - file.start
    bounds = [file.start + length * piece // pieces for piece in range(pieces + 1)]
    return [Split(file, start, end, 0, end - start) for start, end in pairwise(bounds)]


def _whole(file: InputFile) -> Split:
    weight = int((file.size - file.start) * file.compression.expansion)
    return Split(file, file.start, file.size, 0, weight)


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
