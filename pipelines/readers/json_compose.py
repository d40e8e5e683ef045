"""Kernels that write JSON for whole columns: strings with quotes, and objects from their members.

Values are stored one after the other in uint8[total], with int64[n + 1] offsets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strata.pipelines.readers.json_bytes import (
    BROKEN,
    NONE,
    WIDTH,
    cached_kernel,
    copy_chunk,
    kernel,
    skip_space,
)
from strata.pipelines.readers.json_values import append_member, is_key, parse_object

__all__ = ["add_members", "bare_members", "quote_all"]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

QUOTE, BACKSLASH, COMMA, SPACE, ZERO, LOWER_U, OPEN_OBJECT = b'"\\, 0u{'
# The letter after the backslash for bytes that have a short escape, 0 for others.
LETTERS = np.zeros(256, np.uint8)
LETTERS[list(b'"\\\b\f\n\r\t')] = list(b'"\\bfnrt')
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
NO_KEY = np.frombuffer(b'"', np.uint8)


@cached_kernel
def quote_all(data: Bytes, offsets: Places, out: Bytes, out_offsets: Places) -> None:
    """Write strings with quotes and the escapes they need.

    ``out`` has room for two more bytes per string, five more per special byte, and WIDTH at the
    end.
    """
    at = NONE
    for row in range(len(offsets) - 1):
        out[at] = QUOTE
        at = _quote(data, offsets[row], offsets[row + 1], out, at + 1)
        out[at] = QUOTE
        at += 1
        out_offsets[row + 1] = at


@kernel
def _quote(data: Bytes, place: int, end: int, out: Bytes, at: int) -> int:
    while place < end:
        if place + WIDTH <= len(data):
            run = min(copy_chunk(data, place, out, at), end - place)
            place += run
            at += run
            if run == WIDTH or place == end:
                continue
        byte = data[place]
        place += 1
        if byte >= SPACE and byte != QUOTE and byte != BACKSLASH:
            out[at] = byte
            at += 1
            continue
        out[at] = BACKSLASH
        letter = LETTERS[byte]
        out[at + 1] = letter or LOWER_U
        at += 2
        if not letter:
            out[at], out[at + 1] = ZERO, ZERO
            out[at + 2], out[at + 3] = DIGITS[byte >> 4], DIGITS[byte & 15]
            at += 4
    return at


@cached_kernel
def add_members(
    name: Bytes, data: Bytes, offsets: Places, valid: Mask, out: Bytes, begins: Places, ends: Places
) -> None:
    """Append a member to each object that is given one.

    Args:
        name: of the member with quotes and colon; empty where the values bring theirs.
        data: the values.
        offsets: int64[n + 1].
        valid: bool[n], whether there is a value; an empty one adds nothing.
        out: where the objects are written; the bytes behind a member change unless written later.
        begins: int64[n], of the objects.
        ends: int64[n], moved behind the member.
    """
    for row in range(len(ends)):
        size = offsets[row + 1] - offsets[row]
        if valid[row] and size:
            at = ends[row]
            out[at] = OPEN_OBJECT if at == begins[row] else COMMA
            at = _copy(name, NONE, len(name), out, at + 1)
            ends[row] = _copy(data, offsets[row], offsets[row + 1], out, at)


@kernel
def _copy(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy exactly these bytes, since what follows may have been written already."""
    while end - start >= WIDTH:
        copy_chunk(data, start, out, at)
        start += WIDTH
        at += WIDTH
    for step in range(end - start):
        out[at + step] = data[start + step]
    return at + end - start


@cached_kernel
def bare_members(
    data: Bytes,
    offsets: Places,
    keys: Bytes,
    key_ends: Places,
    spans: Places,
    stack: Bytes,
    out: Bytes,
    out_offsets: Places,
    odd: Mask,
) -> None:
    """The members of JSON objects, without brackets and insignificant white space.

    Args:
        data: JSON texts.
        offsets: int64[n + 1].
        keys: uint8[total], keys that no object may have.
        key_ends: int64[m].
        spans: int64[most, 4], to work with.
        stack: as for parse_object.
        out: uint8[total + 2 * WIDTH].
        out_offsets: int64[n + 1].
        odd: bool[n], set for what is no such object, and for one with a key twice.
    """
    at = NONE
    for row in range(len(odd)):
        start, end = offsets[row], offsets[row + 1]
        after = _bare(data[:end], start, keys, key_ends, spans, stack, out, at)
        odd[row] = after == BROKEN
        at = at if odd[row] else after
        out_offsets[row + 1] = at


@kernel
def _bare(
    data: Bytes,
    place: int,
    keys: Bytes,
    key_ends: Places,
    spans: Places,
    stack: Bytes,
    out: Bytes,
    at: int,
) -> int:
    found = parse_object(data, skip_space(data, place), NO_KEY, spans, stack, out, at)
    if found.end == BROKEN or skip_space(data, found.end) < len(data):
        return BROKEN
    begin = at
    for number in range(found.members):
        start, end = spans[number, 0], spans[number, 1]
        for before in range(number):
            if is_key(data, start, end, data[spans[before, 0] : spans[before, 1]]):
                return BROKEN
        first = NONE
        for last in key_ends:
            if is_key(data, start, end, keys[first:last]):
                return BROKEN
            first = last
        at = append_member(data, spans[number], out, begin, at)
    # The first member was written with a bracket.
    for step in range(begin, at - 1):
        out[step] = out[step + 1]
    return max(begin, at - 1)
