"""Parquet input: the mapped columns as they are, every other one as metadata."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from strata.errors import InputError, InputMissingError
from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile, Split
from strata.storage.scan import open_parquet, read_batches
from strata.storage.store import Store

__all__ = ["read_columnar"]


def read_columnar(
    split: Split, store: Store, max_document_bytes: int, batch_bytes: int
) -> Iterator[ReadBatch]:
    """The rows of some row groups; positions are row numbers in the file.

    Raises:
        BrokenFile: damaged, without the text column, or with one that holds no text.
    """
    file, row = split.file, split.first_row
    try:
        columns = _columns(store, file)
        groups = _groups(store, split)
        for batch in read_batches(store, file.url, columns, groups, batch_bytes):
            yield _read(file, batch, row, max_document_bytes)
            row += batch.num_rows
    except (BrokenFile, InputMissingError):
        raise
    except InputError as error:
        raise BrokenFile(reject(file, row, RejectReason.CORRUPT_FILE, str(error))) from error


def _groups(store: Store, split: Split) -> range:
    with open_parquet(store, split.file.url) as scan:
        # A file whose footer could not be read while planning is one split of unknown row groups.
        return range(split.start, min(split.end, scan.metadata.num_row_groups))


def _columns(store: Store, file: InputFile) -> list[str]:
    with open_parquet(store, file.url) as scan:
        schema = scan.parquet.schema_arrow
    name = file.options.fields.text
    if name not in schema.names:
        what = f"columns: {', '.join(schema.names)}"
        raise BrokenFile(reject(file, 0, RejectReason.NO_TEXT_COLUMN, what))
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_view(kind)):
        what = f"the column {name} has the type {kind}"
        raise BrokenFile(reject(file, 0, RejectReason.TEXT_NOT_STRING, what))
    return list(schema.names)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind))


def _read(file: InputFile, batch: pa.RecordBatch, row: int, limit: int) -> ReadBatch:
    fields = file.options.fields
    text = batch.column(fields.text)
    rejects = [
        reject(file, row + place, RejectReason.NULL_TEXT, "")
        for place in np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False)).tolist()
    ]
    invalid = _invalid_utf8(text)
    rejects += [_invalid(file, row + place, data) for place, data in invalid.items()]
    keep = text.is_valid().to_numpy(zero_copy_only=False).copy()
    keep[list(invalid)] = False
    good = batch.filter(pa.array(keep))
    positions = (np.flatnonzero(keep) + row).tolist()
    columns = Columns(
        position=positions,
        text=good.column(fields.text).to_pylist(),
        id=_names(good, fields.id),
        lang=_names(good, fields.lang),
        url=_names(good, fields.url),
        metadata=_metadata(good, {fields.text, fields.id, fields.lang, fields.url}),
    )
    return build_batch(file, columns, rejects, batch.num_rows, limit)


def _invalid(file: InputFile, row: int, data: bytes) -> Reject:
    return reject(file, row, RejectReason.INVALID_UTF8, data)


def _invalid_utf8(text: pa.Array) -> dict[int, bytes]:
    # Parquet's string type promises UTF-8, and nobody checks it.
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        binary = text.cast(pa.large_binary()).to_pylist()
        return {n: data for n, data in enumerate(binary) if data is not None and _is_invalid(data)}
    return {}


def _is_invalid(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _names(batch: pa.RecordBatch, name: str) -> list[str | None]:
    if name not in batch.schema.names:
        return [None] * batch.num_rows
    values = batch.column(name).to_pylist()
    return [value if value is None or isinstance(value, str) else _json(value) for value in values]


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _metadata(batch: pa.RecordBatch, mapped: set[str]) -> list[bytes | None]:
    names = [name for name in batch.schema.names if name not in mapped]
    if not names:
        return [None] * batch.num_rows
    encoder = msgspec.json.Encoder(enc_hook=_plain)
    return [_object(row, encoder) for row in batch.select(names).to_pylist()]


def _object(row: dict[str, Any], encoder: msgspec.json.Encoder) -> bytes | None:
    own = row.get("metadata")
    if isinstance(own, str) and own.lstrip().startswith("{"):
        # Many corpora keep metadata as JSON text.
        try:
            own = msgspec.json.decode(own)
        except msgspec.DecodeError:
            return encoder.encode(row)
    if isinstance(own, dict):
        row = own | {name: value for name, value in row.items() if name != "metadata"}
    row = {name: value for name, value in row.items() if value is not None}
    return encoder.encode(row) if row else None


def _plain(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, Decimal) else repr(value)
