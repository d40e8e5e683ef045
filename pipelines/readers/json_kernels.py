"""Kernels over raw JSON values: unescape strings, compact and compose objects.

They take what a JSON decoder has accepted, value by value, and so check nothing themselves. Values
lie one behind another in uint8[total] with int64[n + 1] offsets; an absent value is empty.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["compose_all", "unescape_all"]

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

QUOTE, BACKSLASH, SPACE, COMMA = 34, 92, 32, 44
LOWER_B, LOWER_F, LOWER_N, LOWER_R, LOWER_T, LOWER_U = 98, 102, 110, 114, 116, 117
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
FIRST_HIGH_SURROGATE, FIRST_LOW_SURROGATE = 0xD800, 0xDC00
# Unsigned offsets spare the compiler the test for negative ones, and so let it use SIMD.
ONE, TWO, SIX, WIDTH = np.uint64(1), np.uint64(2), np.uint64(6), np.uint64(16)


@njit(cache=True, nogil=True)
def unescape_all(
    data: Bytes, offsets: Offsets, out: Bytes, out_offsets: Offsets, valid: npt.NDArray[np.bool_]
) -> None:
    """Strings without quotes and escapes, other values as they are; null and absent: not valid.

    ``out`` is as long as ``data``.
    """
    at = np.uint64(0)
    for value in range(len(offsets) - 1):
        start, end = np.uint64(offsets[value]), np.uint64(offsets[value + 1])
        valid[value] = end > start and data[start] != LOWER_N
        if valid[value]:
            if data[start] == QUOTE:
                at = _unescape(data, start + ONE, end - ONE, out, at)
            else:
                while start < end:
                    out[at] = data[start]
                    at += ONE
                    start += ONE
        out_offsets[value + 1] = at


@njit(cache=True, nogil=True)
def _unescape(
    data: Bytes, place: np.uint64, end: np.uint64, out: Bytes, at: np.uint64
) -> np.uint64:
    while True:
        run = _copy_run(data, place, end, out, at)
        place += run
        at += run
        if place >= end:
            return at
        escape = data[place + ONE]
        if escape != LOWER_U:
            out[at] = _control(escape)
            at += ONE
            place += TWO
            continue
        code = _hex(data, place + TWO)
        place += SIX
        if FIRST_HIGH_SURROGATE <= code < FIRST_LOW_SURROGATE:
            low = _hex(data, place + TWO)
            place += SIX
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
        at += _put(out, at, code)


@njit(cache=True, nogil=True)
def _copy_run(
    data: Bytes, place: np.uint64, end: np.uint64, out: Bytes, at: np.uint64
) -> np.uint64:
    """Copy up to the next backslash; what is copied beyond it is overwritten later."""
    start = place
    while place + WIDTH <= end:
        # The place of the first backslash as a minimum, which SIMD finds without a branch.
        first = np.uint8(16)
        for step in range(16):
            byte = data[place + np.uint64(step)]
            out[at + np.uint64(step)] = byte
            first = min(first, np.uint8(step) if byte == BACKSLASH else np.uint8(16))
        place += np.uint64(first)
        at += np.uint64(first)
        if first < 16:
            return place - start
    while place < end and data[place] != BACKSLASH:
        out[at] = data[place]
        place += ONE
        at += ONE
    return place - start


@njit(cache=True, nogil=True)
def _control(escape: int) -> int:
    if escape == LOWER_N:
        return 10
    if escape == LOWER_T:
        return 9
    if escape == LOWER_R:
        return 13
    if escape == LOWER_B:
        return 8
    return 12 if escape == LOWER_F else escape


@njit(cache=True, nogil=True)
def _hex(data: Bytes, place: np.uint64) -> np.int64:
    code = np.int64(0)
    for _ in range(4):
        digit = np.int64(data[place])
        # Digits end in their value; letters of both cases count from nine.
        code = code * 16 + (digit & 15) + (9 if digit > 57 else 0)
        place += ONE
    return code


@njit(cache=True, nogil=True)
def _put(out: Bytes, at: np.uint64, code: np.int64) -> np.uint64:
    """Write a code point as UTF-8; the bytes written."""
    if code < 0x80:
        out[at] = code
        return np.uint64(1)
    size = 2 + (code >= 0x800) + (code >= 0x10000)
    for place in range(size - 1, 0, -1):
        out[at + np.uint64(place)] = 0x80 | (code & 0x3F)
        code >>= 6
    out[at] = ((0xF00 >> size) & 0xFF) | code
    return np.uint64(size)


@njit(cache=True, nogil=True)
def compose_all(
    base: Bytes,
    base_offsets: Offsets,
    members: Bytes,
    member_offsets: Offsets,
    names: Bytes,
    name_offsets: Offsets,
    out: Bytes,
    out_offsets: Offsets,
    depth: npt.NDArray[np.int64],
) -> None:
    """One object from each base and ``width`` members; see ``json_text.objects``."""
    width = len(name_offsets) - 2
    at = 0
    for row in range(len(base_offsets) - 1):
        begin = at
        start, end = base_offsets[row], base_offsets[row + 1]
        if end > start and base[start] == OPEN_OBJECT:
            at, depth[row] = _compact(base, start, end, out, at)
            # Without its bracket, and without an object that holds nothing.
            at = begin if at - begin == 2 else at - 1
        elif end > start and base[start] != LOWER_N:
            at, _ = _compact(names, name_offsets[0], name_offsets[1], out, at + 1)
            at, depth[row] = _compact(base, start, end, out, at)
        for member in range(width):
            start, end = member_offsets[row * width + member : row * width + member + 2]
            if end > start:
                out[at] = COMMA
                name = name_offsets[member + 1], name_offsets[member + 2]
                at, _ = _compact(names, name[0], name[1], out, at + 1)
                at, deepest = _compact(members, start, end, out, at)
                depth[row] = max(depth[row], deepest)
        if at > begin:
            out[begin] = OPEN_OBJECT
            out[at] = CLOSE_OBJECT
            at += 1
        out_offsets[row + 1] = at


@njit(cache=True, nogil=True)
def _compact(data: Bytes, start: int, end: int, out: Bytes, at: int) -> tuple[int, int]:
    """Copy without insignificant white space; where the copy ends, and how deep it is nested."""
    level = deepest = 0
    quoted = escaped = False
    for place in range(start, end):
        byte = data[place]
        if quoted:
            quoted = escaped or byte != QUOTE
            escaped = byte == BACKSLASH and not escaped
        elif byte <= SPACE:
            continue
        elif byte == QUOTE:
            quoted = True
        elif byte in (OPEN_LIST, OPEN_OBJECT):
            level += 1
            deepest = max(deepest, level)
        elif byte in (CLOSE_LIST, CLOSE_OBJECT):
            level -= 1
        out[at] = byte
        at += 1
    return at, deepest
