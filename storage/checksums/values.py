"""Columns of a batch as numbers or bytes, as checksums see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

__all__ = ["ByteValues", "NumberValues", "Values", "column_seed", "values_of"]

_WIDEST_NUMBER = 8


@dataclass(frozen=True, slots=True)
class NumberValues:
    """Values of at most eight bytes.

    Attributes:
        numbers: int64[n]; smaller integers are sign-extended, floats are their bit patterns.
        valid: uint8[n], zero for a null; uint8[0] where there is none.
    """

    numbers: NDArray[np.int64]
    valid: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ByteValues:
    """Values of any length: value i is ``data[offsets[i] : offsets[i + 1]]``.

    Attributes:
        data: uint8[m].
        offsets: int64[n + 1].
        valid: uint8[n], zero for a null; uint8[0] where there is none.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    valid: NDArray[np.uint8]


Values: TypeAlias = ByteValues | NumberValues


def column_seed(name: str, kind: pa.DataType) -> int:
    """The seed that tells apart equal values of two columns: XXH64 of the column's name and type.

    Strings with either width of offsets count as one type, and so do bytes, as they do in Parquet.
    """
    return xxhash.xxh64_intdigest(f"{name}:{_spelling(kind)}".encode())


def values_of(name: str, array: pa.Array) -> Values:
    """The values of a column, without a copy where they are wide enough.

    Raises:
        TypeError: the column has values of a type that no table of Strata has.
    """
    kind = array.type
    if pa.types.is_boolean(kind):
        return _numbers(array.cast(pa.uint8()))
    if _is_text(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _spans(name, array)
    if pa.types.is_fixed_size_binary(kind) or _width(kind) > _WIDEST_NUMBER:
        return _fixed(array)
    if _width(kind):
        return _numbers(array)
    raise TypeError(f"column {name} has the type {kind}, for which there is no checksum")


def _spelling(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "binary"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_spelling(kind.value_type)}>"
    return str(kind)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _width(kind: pa.DataType) -> int:
    """Bytes of a value of a fixed-width type, 0 for other types."""
    return kind.bit_width // 8 if pa.types.is_primitive(kind) else 0


def _valid(array: pa.Array) -> NDArray[np.uint8]:
    if not array.null_count:
        return np.zeros(0, np.uint8)
    return np.asarray(array.is_valid().cast(pa.uint8()))


def _numbers(array: pa.Array) -> NumberValues:
    width, start = _width(array.type), array.offset
    buffer = array.buffers()[1]
    if buffer is None:
        return NumberValues(np.zeros(len(array), np.int64), _valid(array))
    stored = np.frombuffer(buffer, f"i{width}", count=start + len(array))[start:]
    return NumberValues(stored.astype(np.int64, copy=False), _valid(array))


def _fixed(array: pa.Array) -> ByteValues:
    width = array.type.bit_width // 8
    places = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * width
    return ByteValues(_bytes(array.buffers()[1]), places, _valid(array))


def _spans(name: str, array: pa.Array) -> ByteValues:
    kind = array.type
    is_wide = any(
        check(kind)
        for check in (pa.types.is_large_string, pa.types.is_large_binary, pa.types.is_large_list)
    )
    offsets = array.buffers()[1]
    if not len(array) or offsets is None:
        return ByteValues(np.zeros(0, np.uint8), np.zeros(1, np.int64), _valid(array))
    stop = array.offset + len(array) + 1
    stored = np.frombuffer(offsets, "i8" if is_wide else "i4", count=stop)[array.offset :]
    places: NDArray[np.int64] = stored.astype(np.int64, copy=False)
    if _is_text(kind):
        return ByteValues(_bytes(array.buffers()[2]), places, _valid(array))
    inner = array.values
    width = _width(inner.type)
    if not width or pa.types.is_boolean(inner.type) or inner.null_count:
        raise TypeError(f"column {name} has the type {kind}, for which there is no checksum")
    data = _bytes(inner.buffers()[1])
    starts: NDArray[np.int64] = (places + inner.offset) * width
    return ByteValues(data, starts, _valid(array))


def _bytes(buffer: pa.Buffer | None) -> NDArray[np.uint8]:
    return np.zeros(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
