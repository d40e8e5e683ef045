"""The columns of a Parquet file that fields name: also inside of structs, also as binary text."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.readers.json_bytes import mark_invalid
from strata.pipelines.readers.parquet_metadata import StringParts
from strata.pipelines.readers.utf8 import are_utf8
from strata.settings import FieldMapping

__all__ = ["field_type", "is_binary", "is_text", "lifted", "texts_of_bytes", "without_views"]

TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
BINARY_TYPES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of strings, perhaps in a dictionary."""
    return any(check(_plain(kind)) for check in TEXT_TYPES)


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type is one of bytes of any length, perhaps in a dictionary."""
    return any(check(_plain(kind)) for check in BINARY_TYPES)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def field_type(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a field: a column, or else a member of structs that names with dots lead to."""
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    if not rest or schema.get_field_index(first) < 0:
        return None
    kind = schema.field(first).type
    for part in rest:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None
        kind = kind.field(part).type
    return kind


def lifted(batch: pa.RecordBatch, fields: FieldMapping) -> pa.RecordBatch:
    """The batch with the fields in structs as columns of their own, no longer in the structs.

    The date stays in its struct as well.
    """
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    names = [
        name
        for name in dict.fromkeys(fields.model_dump().values())
        if name not in columns and field_type(batch.schema, name) is not None
    ]
    if not names:
        return batch
    found = {name: _member(columns, name.split(".")) for name in names}
    for name in names:
        first, *rest = name.split(".")
        if name == fields.date or first not in columns:
            continue
        left = _without(columns[first], rest)
        if left is None:
            del columns[first]
        else:
            columns[first] = left
    columns |= found
    return pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])


def _member(columns: dict[str, pa.Array], path: Sequence[str]) -> pa.Array:
    values = columns[path[0]]
    for part in path[1:]:
        # Null where the struct is null.
        values = values.flatten()[values.type.get_field_index(part)]
    return values


def _without(values: pa.StructArray, path: Sequence[str]) -> pa.StructArray | None:
    """The structs without a member, and without a struct that had only it; None for nothing."""
    members = dict(zip(values.type.names, values.flatten(), strict=True))
    first, *rest = path
    child = members.get(first)
    left = _without(child, rest) if rest and child is not None else None
    if left is not None:
        members[first] = left
    else:
        members.pop(first, None)
    if not members:
        return None
    return pa.StructArray.from_arrays([*members.values()], names=[*members], mask=values.is_null())


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its views of strings or bytes as such, since Arrow cannot filter views."""
    plain = [VIEWS.get(kind) for kind in batch.schema.types]
    if not any(plain):
        return batch
    columns = [
        values.cast(kind) if kind else values
        for values, kind in zip(batch.columns, plain, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def texts_of_bytes(batch: pa.RecordBatch, fields: FieldMapping) -> pa.RecordBatch:
    """The batch with its columns of bytes as strings: writers that do not annotate text make such.

    What feeds a field may then hold strings that are not UTF-8; elsewhere such values are base64.
    """
    mapped = set(fields.model_dump().values())
    columns = [
        _texts(values, in_field=name in mapped) if is_binary(values.type) else values
        for name, values in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _texts(values: pa.Array, *, in_field: bool) -> pa.LargeStringArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    data = values.cast(pa.large_binary())
    texts = data.cast(pa.large_string(), safe=False)
    if in_field:
        return texts
    parts = StringParts.of(texts)
    if are_utf8(parts.data, parts.offsets):
        return texts
    marks = np.zeros(len(texts), np.bool_)
    mark_invalid(parts.data, parts.offsets, marks)
    marks &= parts.valid
    encoded = [
        base64.b64encode(value).decode() if mark else None
        for value, mark in zip(data.to_pylist(), marks.tolist(), strict=True)
    ]
    return pc.if_else(pa.array(marks), pa.array(encoded, pa.large_string()), texts)
