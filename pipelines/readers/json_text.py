"""Kernels over raw JSON values: unescape strings, drop white space, measure nesting.

They take what a JSON decoder has accepted, value by value, and so check nothing but their purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Compacted", "JsonValues", "as_text", "compacted", "strings"]

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

QUOTE, BACKSLASH, SPACE = 34, 92, 32
LOWER_N, LOWER_U = 110, 117
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
FIRST_HIGH_SURROGATE, FIRST_LOW_SURROGATE, AFTER_SURROGATES = 0xD800, 0xDC00, 0xE000


@dataclass(frozen=True, slots=True)
class JsonValues:
    """Raw values, one behind another.

    Attributes:
        data: uint8[total].
        offsets: int64[n + 1]; an empty value stands for an absent one.
    """

    data: Bytes
    offsets: Offsets

    @classmethod
    def of(cls, values: Sequence[ReadableBuffer]) -> JsonValues:
        """Join values, such as those that ``msgspec.Raw`` refers to."""
        offsets = np.zeros(len(values) + 1, np.int64)
        sizes = (memoryview(value).nbytes for value in values)
        np.cumsum(np.fromiter(sizes, np.int64, len(values)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(values), np.uint8), offsets)

    @property
    def are_strings(self) -> bool:
        """Whether every value is a string."""
        starts = self.offsets[:-1]
        there = bool((self.offsets[1:] > starts).all())
        return there and bool((self.data[starts] == QUOTE).all())


def strings(values: JsonValues) -> pa.LargeStringArray:
    """The text of strings, null for null and absent values, and the JSON text of any other."""
    count = len(values.offsets) - 1
    out = np.empty(len(values.data), np.uint8)
    offsets = np.empty(count + 1, np.int64)
    valid = np.empty(count, np.bool_)
    _unescape(values.data, values.offsets, out, offsets, valid)
    return _array(JsonValues(out[: offsets[-1]], offsets), valid)


def as_text(values: JsonValues) -> pa.LargeStringArray:
    """The values as they are, null for absent ones."""
    return _array(values, values.offsets[1:] > values.offsets[:-1])


def _array(values: JsonValues, valid: npt.NDArray[np.bool_]) -> pa.LargeStringArray:
    mask = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    offsets, data = pa.py_buffer(values.offsets), pa.py_buffer(values.data)
    return pa.LargeStringArray.from_buffers(len(valid), offsets, data, mask)


@dataclass(frozen=True, slots=True)
class Compacted:
    """Values without white space between their tokens, and how deep each is nested."""

    values: JsonValues
    depth: npt.NDArray[np.int64]


def compacted(values: JsonValues) -> Compacted:
    """Drop what is insignificant; a scalar has depth 0, ``[[]]`` has depth 2."""
    count = len(values.offsets) - 1
    out = np.empty(len(values.data), np.uint8)
    offsets = np.empty(count + 1, np.int64)
    depth = np.empty(count, np.int64)
    _compact(values.data, values.offsets, out, offsets, depth)
    return Compacted(JsonValues(out[: offsets[-1]], offsets), depth)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unescape(
    data: Bytes,
    offsets: Offsets,
    out: Bytes,
    out_offsets: Offsets,
    valid: npt.NDArray[np.bool_],
) -> None:
    at = 0
    out_offsets[0] = 0
    for value in range(len(offsets) - 1):
        start, end = offsets[value], offsets[value + 1]
        valid[value] = end > start and data[start] != LOWER_N
        if valid[value]:
            quoted = 1 if data[start] == QUOTE else 0
            place = start + quoted
            while place < end - quoted:
                byte = data[place]
                if byte != BACKSLASH or not quoted:
                    out[at] = byte
                    at += 1
                    place += 1
                elif data[place + 1] != LOWER_U:
                    out[at] = _plain_escape(data[place + 1])
                    at += 1
                    place += 2
                else:
                    code = _hex(data, place + 2)
                    place += 6
                    if FIRST_HIGH_SURROGATE <= code < FIRST_LOW_SURROGATE:
                        low = _hex(data, place + 2)
                        place += 6
                        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
                    at = _put(out, at, code)
        out_offsets[value + 1] = at


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _plain_escape(byte: int) -> int:
    if byte == LOWER_N:
        return 10
    if byte == 116:  # t
        return 9
    if byte == 114:  # r
        return 13
    if byte == 98:  # b
        return 8
    if byte == 102:  # f
        return 12
    return byte


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _hex(data: Bytes, start: int) -> int:
    code = 0
    for place in range(start, start + 4):
        byte = np.int64(data[place])
        # Digits end in their value; letters of both cases count from ten.
        code = code * 16 + (byte & 15) + (9 if byte > 57 else 0)
    return code


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _put(out: Bytes, at: int, code: int) -> int:
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
        out[at + 1] = 0x80 | code & 0x3F
        return at + 2
    if code < 0x10000:
        out[at] = 0xE0 | code >> 12
        out[at + 1] = 0x80 | code >> 6 & 0x3F
        out[at + 2] = 0x80 | code & 0x3F
        return at + 3
    out[at] = 0xF0 | code >> 18
    out[at + 1] = 0x80 | code >> 12 & 0x3F
    out[at + 2] = 0x80 | code >> 6 & 0x3F
    out[at + 3] = 0x80 | code & 0x3F
    return at + 4


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _compact(
    data: Bytes,
    offsets: Offsets,
    out: Bytes,
    out_offsets: Offsets,
    depth: npt.NDArray[np.int64],
) -> None:
    at = 0
    out_offsets[0] = 0
    for value in range(len(offsets) - 1):
        now = deepest = 0
        quoted = escaped = False
        for place in range(offsets[value], offsets[value + 1]):
            byte = data[place]
            if quoted:
                quoted = escaped or byte != QUOTE
                escaped = byte == BACKSLASH and not escaped
            elif byte <= SPACE:
                continue
            elif byte == QUOTE:
                quoted = True
            elif byte in (OPEN_LIST, OPEN_OBJECT):
                now += 1
                deepest = max(deepest, now)
            elif byte in (CLOSE_LIST, CLOSE_OBJECT):
                now -= 1
            out[at] = byte
            at += 1
        depth[value] = deepest
        out_offsets[value + 1] = at
