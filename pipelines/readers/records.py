"""Records on their way to documents: columns, ids, and the checks that every format shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import InputError
from strata.pipelines.readers.rejects import (
    EXCERPT_CHARACTERS,
    Reject,
    RejectReason,
    excerpt_of,
)
from strata.pipelines.readers.split import InputFile, ReadLimits
from strata.settings import InputFormat, NulRule
from strata.storage.layout.doc_ids import LARGEST_ORDINAL, POSITION_BITS
from strata.storage.layout.schemas import DOCUMENTS

__all__ = ["COLUMNS", "Columns", "ReadBatch", "build_batch", "doc_id_base", "reject"]

COLUMNS = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("lang", pa.string()),
        ("url", pa.string()),
        ("metadata", pa.large_string()),
        ("source", pa.string()),
        ("created", DOCUMENTS.field("created").type),
    ]
)


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A part of a split.

    Attributes:
        documents: rows of COLUMNS.
        rejects: records that could not be read.
        records: records seen, counted independently of documents and rejects.
        dates_unread: dates that could not be read.
        nul_removed: records whose text lost NUL characters.
    """

    documents: pa.RecordBatch
    rejects: list[Reject]
    records: int
    dates_unread: int
    nul_removed: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """Good records by column, all of one length; ``position`` (int64[n]) is as in Reject."""

    position: npt.NDArray[np.int64]
    text: pa.LargeStringArray
    id: pa.Array
    lang: pa.Array
    url: pa.Array
    date: pa.Array
    metadata: pa.LargeStringArray

    @classmethod
    def empty(cls) -> Columns:
        """No records."""
        return Rows().columns()


@dataclass(frozen=True, slots=True)
class Rows:
    """Good records on their way to columns, for formats that are read record by record."""

    position: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    id: list[str | None] = field(default_factory=list)
    lang: list[str | None] = field(default_factory=list)
    url: list[str | None] = field(default_factory=list)
    date: list[str | None] = field(default_factory=list)
    metadata: list[bytes | None] = field(default_factory=list)

    def columns(self) -> Columns:
        """The records as Arrow arrays.

        Raises:
            ValueError: a text is not valid Unicode.
        """
        return Columns(
            np.array(self.position, np.int64),
            pa.array(self.text, pa.large_string()),
            pa.array(self.id, pa.string()),
            pa.array(self.lang, pa.string()),
            pa.array(self.url, pa.string()),
            pa.array(self.date, pa.string()),
            pa.array(self.metadata, pa.large_binary()).cast(pa.large_string()),
        )


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
    """A reject of one record, or of the file."""
    return Reject(file.uri, file.ordinal, position, reason, excerpt_of(record), file.source)


def build_batch(
    file: InputFile,
    columns: Columns,
    rejects: Sequence[Reject],
    records: int,
    limits: ReadLimits,
) -> ReadBatch:
    """Turn columns into a batch; records that cannot become a document become rejects.

    Args:
        file: where the records are from.
        columns: records that could be read.
        rejects: those that could not.
        records: number of records that were seen.
        limits: what a document may be.

    Raises:
        InputError: a position or the file's ordinal does not fit a document id.
    """
    # The driver, which only describes batches, does not need numba.
    from strata.pipelines.readers.dates import read_instants

    text, with_nul = columns.text, _rows_with_nul(columns.text)
    # What is not a record holds a NUL only where it is no text.
    if with_nul and limits.nul is NulRule.REMOVE and file.format is not InputFormat.TEXT:
        text = pc.replace_substring(text, "\0", "")
        bad = _unfit_texts(text, [], limits.max_document_bytes)
        nul_removed = len(set(with_nul) - bad.keys())
    else:
        bad = _unfit_texts(text, with_nul, limits.max_document_bytes)
        nul_removed = 0
    more = [
        reject(file, int(columns.position[place]), reason, _text_head(text[place]))
        for place, reason in bad.items()
    ]
    created = read_instants(columns.date.cast(pa.large_string()))
    documents = pa.RecordBatch.from_arrays(
        [
            pa.array(_doc_ids(file, columns.position)),
            _ids(file, columns),
            text,
            columns.lang.cast(pa.string()),
            columns.url.cast(pa.string()),
            columns.metadata,
            pa.repeat(pa.scalar(file.source, pa.string()), len(columns.text)),
            created.values,
        ],
        schema=COLUMNS,
    )
    if bad:
        keep = np.ones(len(columns.text), bool)
        keep[list(bad)] = False
        documents = documents.filter(pa.array(keep))
    merged = sorted([*rejects, *more], key=lambda entry: entry.position)
    return ReadBatch(documents, merged, records, created.unread, nul_removed)


def _doc_ids(file: InputFile, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    last = int(positions.max(initial=0))
    if last >= 1 << POSITION_BITS:
        raise InputError(
            f"{file.uri}: position {last:,} does not fit a document id",
            hint=f"split the file; a file may have 2^{POSITION_BITS} bytes or rows",
        )
    return positions + doc_id_base(file)


def _ids(file: InputFile, columns: Columns) -> pa.StringArray:
    ids = columns.id.cast(pa.string())
    if not ids.null_count:
        return ids
    places = pa.array(columns.position).cast(pa.string())
    made = pc.binary_join_element_wise(str(file.ordinal), places, "-")
    return pc.coalesce(ids, made)


def _text_head(text: pa.LargeStringScalar) -> bytes:
    return memoryview(text.as_buffer())[: 4 * EXCERPT_CHARACTERS].tobytes()


def _unfit_texts(
    text: pa.LargeStringArray, with_nul: Sequence[int], max_document_bytes: int
) -> dict[int, RejectReason]:
    """Places of the texts that are empty, too long, or hold a NUL character."""
    lengths = pc.binary_length(text).to_numpy()
    bad = dict.fromkeys(np.flatnonzero(lengths == 0).tolist(), RejectReason.EMPTY_TEXT)
    bad |= dict.fromkeys(with_nul, RejectReason.NUL_CHARACTER)
    too_long = np.flatnonzero(lengths > max_document_bytes).tolist()
    return bad | dict.fromkeys(too_long, RejectReason.TOO_LONG)


def _rows_with_nul(text: pa.LargeStringArray) -> list[int]:
    _, offsets, body = text.buffers()
    if body is None:
        return []
    places = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(body, np.uint8)[places[0] : places[-1]]
    if data.min(initial=1):
        return []
    found = np.searchsorted(places, np.flatnonzero(data == 0) + places[0], side="right") - 1
    return [int(row) for row in np.unique(found)]
