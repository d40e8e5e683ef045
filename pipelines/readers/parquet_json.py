"""Values of Parquet columns as JSON text; dates and times are the same text on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.readers.parquet_metadata import JsonMember, bare_of, members_of, objects_of

__all__ = ["metadata_of", "names_of", "plain_times"]

METADATA = "metadata"
UNIT_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def names_of(batch: pa.RecordBatch, column: str) -> pa.StringArray:
    """A column as strings: string[n]; values of other types become their JSON text."""
    if column not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    values = _plain_column(batch.column(column))
    if pa.types.is_string(values.type) or pa.types.is_integer(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type):
        # Some libraries write a missing value as NaN.
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    texts = [None if value is None else _text(value) for value in values.to_pylist()]
    return pa.array(texts, pa.string())


def metadata_of(batch: pa.RecordBatch, mapped: frozenset[str]) -> pa.LargeStringArray:
    """All columns that are not mapped, as one JSON object per row: large_string[n].

    Null values are left out. A column ``metadata`` that holds objects, or their JSON text, is the
    base that the others are added to.
    """
    names = [name for name in batch.schema.names if name not in mapped]
    columns = {name: _plain_column(batch.column(name)) for name in names}
    own = columns.get(METADATA, pa.nulls(batch.num_rows))
    kind = own.type
    others = {name: values for name, values in columns.items() if name != METADATA}
    if pa.types.is_struct(kind) and not others.keys() & set(kind.names):
        members = [*members_of(own), *_members(others)]
    elif pa.types.is_string(kind):
        bare = bare_of(own.cast(pa.large_string()), list(others))
        members = [JsonMember(b"", bare.text), *_members(others)]
        if bare.odd.any():
            return _rebuild_odd_rows(objects_of(members, batch.num_rows), columns, bare.odd)
    elif pa.types.is_struct(kind):
        return _row_by_row(columns)
    else:
        members = _members(columns)
    return objects_of(members, batch.num_rows)


def _members(columns: Mapping[str, pa.Array]) -> list[JsonMember]:
    return [JsonMember.of(name, values) for name, values in columns.items()]


def _rebuild_odd_rows(
    objects: pa.LargeStringArray, columns: Mapping[str, pa.Array], odd: npt.NDArray[np.bool_]
) -> pa.LargeStringArray:
    """The objects, with those of odd rows made one by one."""
    places = np.flatnonzero(odd)
    slow = _row_by_row({name: values.take(pa.array(places)) for name, values in columns.items()})
    order = np.arange(len(odd))
    order[places] = len(odd) + np.arange(len(places))
    return pa.concat_arrays([objects, slow]).take(pa.array(order))


def _row_by_row(columns: Mapping[str, pa.Array]) -> pa.LargeStringArray:
    encoder = msgspec.json.Encoder(enc_hook=repr)
    rows = pa.RecordBatch.from_arrays([*columns.values()], names=[*columns]).to_pylist()
    objects = [_object(row) for row in rows]
    encoded = [
        msgspec.json.format(encoder.encode(each), indent=-1) if each else None for each in objects
    ]
    return pa.array(encoded, pa.large_binary()).cast(pa.large_string())


def _plain_column(values: pa.Array) -> pa.Array:
    """A column of plain strings where it is made of strings or times."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain_column(values.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    return plain_times(values)


def _text(value: object) -> str:
    text = msgspec.json.encode(value, enc_hook=repr).decode()
    # Such as a decimal number, a UUID, or bytes as base64.
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


def _object(row: dict[str, Any]) -> dict[str, Any]:
    own = row.get(METADATA)
    if isinstance(own, str) and own.lstrip().startswith("{"):
        own = _parsed(own)
    base = own if isinstance(own, dict) else {}
    rest = {
        name: value
        for name, value in row.items()
        if value is not None and not (name == METADATA and base is own)
    }
    return base | rest


def _parsed(text: str) -> object:
    # Many corpora keep metadata as JSON text; other text stays text.
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return text


def plain_times(values: pa.Array) -> pa.Array:
    """The array with every date, time, timestamp and duration as a string: ISO 8601.

    Python has no nanoseconds and ends in the year 9999, and not every machine has a time zone
    database: so Arrow formats them, in UTC. What is out of range stays a number.
    """
    kind = values.type
    if pa.types.is_timestamp(kind):
        naive = values.cast(pa.int64()).cast(pa.timestamp(kind.unit))
        iso = pc.replace_substring(_iso_text(naive), " ", "T")
        is_iso = pc.and_(kind.tz is not None, pc.match_substring(iso, ":"))
        return pc.if_else(is_iso, pc.binary_join_element_wise(iso, "Z", ""), iso)
    if pa.types.is_duration(kind):
        return _durations(values)
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return _iso_text(values)
    return _nested(values) if _holds_times(kind) else values


def _iso_text(values: pa.Array) -> pa.StringArray:
    text = values.cast(pa.string())
    return pc.replace_substring_regex(text, r"^<value out of range: (.*)>$", r"\1")


def _durations(values: pa.DurationArray) -> pa.StringArray:
    digits = UNIT_DIGITS[values.type.unit]
    numbers = values.cast(pa.int64()).to_pylist()
    seconds = [None if n is None else Decimal(n).scaleb(-digits).normalize() for n in numbers]
    return pa.array([None if n is None else f"PT{n:f}S" for n in seconds], pa.string())


def _holds_times(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_times(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind))


def _nested(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_struct(kind):
        fields = [plain_times(each) for each in values.flatten()]
        names = [kind.field(n).name for n in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, names=names, mask=values.is_null())
    # All others have one child, which a slice leaves whole.
    child = plain_times(values.values)
    own = 1 if pa.types.is_fixed_size_list(kind) else 2
    return pa.Array.from_buffers(
        _list_of(kind, child.type),
        len(values),
        values.buffers()[:own],
        offset=values.offset,
        children=[child],
    )


def _list_of(kind: pa.DataType, child: pa.DataType) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.map_(child.field(0).type, child.field(1).type)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(child, kind.list_size)
    return pa.large_list(child) if pa.types.is_large_list(kind) else pa.list_(child)
