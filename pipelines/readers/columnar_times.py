"""Dates and times of Parquet columns as text, at any depth, the same on every machine."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["plain_times"]

UNIT_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def plain_times(values: pa.Array) -> pa.Array:
    """The array with every date, time, timestamp and duration as a string: ISO 8601.

    Python has no nanoseconds and ends in the year 9999, and not every machine has a time zone
    database: so Arrow formats them, in UTC. What is out of range stays a number.
    """
    kind = values.type
    if pa.types.is_timestamp(kind):
        naive = values.cast(pa.int64()).cast(pa.timestamp(kind.unit))
        iso = pc.replace_substring(_text(naive), " ", "T")
        is_iso = pc.and_(kind.tz is not None, pc.match_substring(iso, ":"))
        return pc.if_else(is_iso, pc.binary_join_element_wise(iso, "Z", ""), iso)
    if pa.types.is_duration(kind):
        return _durations(values)
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return _text(values)
    return _nested(values) if _holds_times(kind) else values


def _text(values: pa.Array) -> pa.StringArray:
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
