"""Parquet input: the mapped columns as they are, all others as metadata."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from strata.errors import InputError, InputMissingError, SettingsError
from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.json_bytes import mark_invalid
from strata.pipelines.readers.opening import HEAD_BYTES, foreign_content
from strata.pipelines.readers.parquet_fields import (
    field_type,
    is_binary,
    is_text,
    lifted,
    texts_of_bytes,
    without_views,
)
from strata.pipelines.readers.parquet_json import metadata_of, names_of
from strata.pipelines.readers.parquet_metadata import StringParts
from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import EXCERPT_CHARACTERS, BrokenFile, RejectReason
from strata.pipelines.readers.split import InputFile, ReadLimits, Split
from strata.pipelines.readers.utf8 import are_utf8
from strata.storage.contracts.store import ByteRange, Store
from strata.storage.reading.scan import open_parquet, rows_per_batch

__all__ = ["read_split"]

# For larger batches jemalloc gets most pages from the system again, which costs more than the
# additional calls for smaller batches.
BATCH_BYTES = 4_000_000


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """The rows of some row groups; positions are row numbers in the file.

    Raises:
        BrokenFile: the file is damaged, or has no text column, or one that does not hold text.
    """
    file, row = split.file, split.first_row
    try:
        for batch in _batches(split, store, min(limits.batch_bytes, BATCH_BYTES)):
            yield _read(file, batch, row, limits)
            row += batch.num_rows
    except (BrokenFile, InputMissingError, SettingsError):
        raise
    except (InputError, pa.ArrowException, ValueError, OverflowError) as error:
        told = None if row else _foreign(file, store)
        reason = RejectReason.WRONG_CONTENT if told else RejectReason.CORRUPT_FILE
        raise BrokenFile(reject(file, row, reason, told or str(error))) from error


def _foreign(file: InputFile, store: Store) -> str | None:
    """What a file is whose footer cannot be read, as far as its first bytes tell."""
    try:
        (head,) = store.read_ranges(file.url, [ByteRange(0, HEAD_BYTES)])
    except InputError:
        return None
    if packed := Compression.of_bytes(head):
        return f"compressed as a whole with {packed.name.lower()}; decompress it"
    if head.lstrip()[:1] in (b"{", b"["):
        return 'JSON, not Parquet; name it .jsonl, or set format = "jsonl"'
    return foreign_content(head, file.format)


def _batches(split: Split, store: Store, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    with open_parquet(store, split.file.url) as scan:
        columns = _columns(split.file, scan.parquet.schema_arrow)
        # A file whose footer could not be read while planning is one split of unknown row groups.
        for group in range(split.start, min(split.end, scan.metadata.num_row_groups)):
            facts = scan.metadata.row_group(group)
            missing = facts.num_rows
            for batch in scan.batches(group, columns, rows_per_batch(facts, columns, batch_bytes)):
                missing -= batch.num_rows
                yield batch
            if missing:
                # Where a damaged footer disagrees with the pages, Arrow reads what there is.
                raise InputError(f"row group {group} lacks {missing} of its rows")


def _columns(file: InputFile, schema: pa.Schema) -> list[str]:
    name = file.options.fields.text
    found = ", ".join(schema.names)
    if len(set(schema.names)) < len(schema.names):
        raise InputError(f"doubled columns: {found}")
    kind = field_type(schema, name)
    if kind is None:
        raise BrokenFile(reject(file, 0, RejectReason.NO_TEXT_COLUMN, f"columns: {found}"))
    if not (is_text(kind) or is_binary(kind)):
        what = f"the column {name} has the type {kind}"
        raise BrokenFile(reject(file, 0, RejectReason.TEXT_NOT_STRING, what))
    return list(schema.names)


def _read(file: InputFile, batch: pa.RecordBatch, row: int, limits: ReadLimits) -> ReadBatch:
    fields = file.options.fields
    # A date in a struct is metadata there, and not once more as a column.
    copied = {fields.date} - set(batch.schema.names)
    batch, name = without_views(lifted(batch, fields)), fields.text
    if is_binary(batch.schema.field(name).type):
        batch = texts_of_bytes(batch, fields)
    bad = dict.fromkeys(
        np.flatnonzero(batch.column(name).is_null().to_numpy(zero_copy_only=False)).tolist(),
        RejectReason.NULL_TEXT,
    )
    bad |= dict.fromkeys(_invalid_rows(batch), RejectReason.INVALID_UTF8)
    rejects = [
        reject(file, row + place, reason, _text_head(batch.column(name)[place]))
        for place, reason in sorted(bad.items())
    ]
    keep = np.ones(batch.num_rows, bool)
    keep[list(bad)] = False
    good = batch.filter(pa.array(keep)) if bad else batch
    columns = _valid_columns(file, good, np.flatnonzero(keep) + row, copied)
    return build_batch(file, columns, rejects, batch.num_rows, limits)


def _valid_columns(
    file: InputFile, batch: pa.RecordBatch, positions: npt.NDArray[np.int64], copied: set[str]
) -> Columns:
    fields = file.options.fields
    names = {key: names_of(batch, key) for key in {fields.id, fields.lang, fields.url}}
    return Columns(
        positions,
        batch.column(fields.text).cast(pa.large_string()),
        names[fields.id],
        names[fields.lang],
        names[fields.url],
        names_of(batch, fields.date),
        metadata_of(batch, frozenset(names) | {fields.text} | copied),
    )


def _invalid_rows(batch: pa.RecordBatch) -> list[int]:
    """Rows with a string, in any column, that is not UTF-8."""
    # Parquet's string type promises UTF-8, but nothing checks it.
    bad = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            parts = StringParts.of(column.cast(pa.large_string()))
            if not are_utf8(parts.data, parts.offsets):
                marks = np.zeros(batch.num_rows, np.bool_)
                mark_invalid(parts.data, parts.offsets, marks)
                bad |= marks & parts.valid
        else:
            bad[_invalid_values(column)] = True
    return [int(row) for row in np.flatnonzero(bad)]


def _invalid_values(column: pa.Array) -> list[int]:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return [row for row in range(len(column)) if not _is_valid(column.slice(row, 1))]
    return []


def _is_valid(value: pa.Array) -> bool:
    try:
        value.to_pylist()
    except UnicodeDecodeError:
        return False
    return True


def _text_head(text: pa.Scalar) -> bytes:
    data = text.cast(pa.large_binary()).as_buffer()
    return b"" if data is None else memoryview(data)[: 4 * EXCERPT_CHARACTERS].tobytes()
