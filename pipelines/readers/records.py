"""Records on their way to documents: columns, ids, and the checks that every format shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import InputError
from strata.pipelines.readers.rejects import Reject, RejectReason, excerpt_of
from strata.pipelines.readers.split import InputFile

__all__ = ["COLUMNS", "POSITION_BITS", "Columns", "ReadBatch", "build_batch", "doc_id_base", "reject"]

POSITION_BITS = 37
LARGEST_ORDINAL = 2 ** (63 - POSITION_BITS) - 1
COLUMNS = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("lang", pa.string()),
        ("url", pa.string()),
        ("metadata", pa.large_string()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A part of a split.

    Attributes:
        documents: rows of COLUMNS.
        rejects: records that could not be read.
        records: records seen, counted apart from what became of them.
    """

    documents: pa.RecordBatch
    rejects: list[Reject]
    records: int


@dataclass(slots=True)
class Columns:
    """Values of good records by column, in one order; for ``position`` see Reject."""

    position: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    id: list[str | None] = field(default_factory=list)
    lang: list[str | None] = field(default_factory=list)
    url: list[str | None] = field(default_factory=list)
    metadata: list[bytes | None] = field(default_factory=list)


def doc_id_base(file: InputFile) -> int:
    """The document id of position 0.

    Raises:
        InputError: the corpus has too many input files.
    """
    if file.ordinal > LARGEST_ORDINAL:
        raise InputError(
            f"{file.uri} is input file number {file.ordinal:,}, and a corpus holds at most "
            f"{LARGEST_ORDINAL + 1:,}",
            hint="pack small files into JSON lines or Parquet",
        )
    return file.ordinal << POSITION_BITS


def reject(file: InputFile, position: int, reason: RejectReason, record: bytes | str) -> Reject:
    """A reject of one record."""
    return Reject(file.uri, file.ordinal, position, reason, excerpt_of(record), file.source)


def build_batch(
    file: InputFile,
    columns: Columns,
    rejects: Sequence[Reject],
    records: int,
    max_document_bytes: int,
) -> ReadBatch:
    """Columns of values to Arrow; texts that no document may have become rejects.

    Raises:
        InputError: a position does not fit the document id.
        ValueError: a text or metadata is no valid Unicode.
    """
    text = pa.array(columns.text, pa.large_string())
    positions = np.array(columns.position, np.int64)
    if len(positions) and int(positions.max()) >= 1 << POSITION_BITS:
        raise InputError(
            f"{file.uri}: position {int(positions.max()):,} does not fit a document id",
            hint=f"split the file; a file may have 2^{POSITION_BITS} bytes or rows",
        )
    bad = _unfit(text, max_document_bytes)
    refused = [
        reject(file, columns.position[place], reason, columns.text[place])
        for place, reason in sorted(bad.items())
    ]
    documents = pa.RecordBatch.from_arrays(
        [
            pa.array(positions + doc_id_base(file)),
            _ids(file, columns),
            text,
            pa.array(columns.lang, pa.string()),
            pa.array(columns.url, pa.string()),
            pa.array(columns.metadata, pa.large_binary()).cast(pa.large_string()),
            pa.array([file.source], pa.string()).take(pa.array(np.zeros(len(text), np.int8))),
        ],
        schema=COLUMNS,
    )
    if bad:
        keep = np.ones(len(text), bool)
        keep[list(bad)] = False
        documents = documents.filter(pa.array(keep))
    merged = sorted([*rejects, *refused], key=lambda entry: entry.position)
    return ReadBatch(documents, merged, records)


def _ids(file: InputFile, columns: Columns) -> pa.StringArray:
    ids = columns.id
    if None in ids:
        ids = [
            f"{file.ordinal}-{position}" if name is None else name
            for name, position in zip(ids, columns.position, strict=True)
        ]
    return pa.array(ids, pa.string())


def _unfit(text: pa.LargeStringArray, max_document_bytes: int) -> dict[int, RejectReason]:
    """Places of the texts that are empty, too long, or hold a NUL character."""
    lengths = pc.binary_length(text).to_numpy()
    bad = dict.fromkeys(np.flatnonzero(lengths == 0).tolist(), RejectReason.EMPTY_TEXT)
    too_long = np.flatnonzero(lengths > max_document_bytes).tolist()
    bad |= dict.fromkeys(too_long, RejectReason.TOO_LONG)
    body = text.buffers()[2]
    if body is not None and not np.frombuffer(body, np.uint8).all():
        found = np.flatnonzero(pc.match_substring(text, "\0").to_numpy(zero_copy_only=False))
        bad |= dict.fromkeys(found.tolist(), RejectReason.NUL_CHARACTER)
    return bad
