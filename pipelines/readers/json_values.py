"""Kernels over JSON values: the grammar (RFC 8259), and copies without white space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from strata.pipelines.readers.json_bytes import (
    BROKEN,
    byte_at,
    copy_raw,
    copy_string,
    kernel,
    skip_space,
)

__all__ = ["DEEPEST", "Members", "append_member", "is_key", "parse_object"]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

# Far below what any parser's stack allows, so that the same records pass on every machine.
DEEPEST = 256
QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, DOT, ZERO, NINE, SPACE = b'"\\,:-+.09 '
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = b"[]{}"
UPPER_E, LOWER_E, LOWER_F, LOWER_N, LOWER_T = b"Eefnt"
TRUE, FALSE, NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))


class Members(NamedTuple):
    """Where an object ends, BROKEN for one that is not taken, and what was found in it.

    Attributes:
        end: behind its closing bracket.
        text_end: behind the copy of its text.
        members: their number.
    """

    end: int
    text_end: int
    members: int


@kernel
def parse_object(
    data: Bytes, place: int, text_key: Bytes, spans: Places, stack: Bytes, out: Bytes, at: int
) -> Members:
    """Find the members of an object whose keys hold no escapes.

    Args:
        data: the lines.
        place: of the opening bracket.
        text_key: the key of the string that is copied.
        spans: int64[most, 4], set to start and end of each key without quotes, and of each value.
        stack: uint8[DEEPEST + 1], to work with.
        out: what is copied to; behind the copy it changes.
        at: where the copy begins.
    """
    none = Members(BROKEN, at, 0)
    if byte_at(data, place) != OPEN_OBJECT:
        return none
    place = skip_space(data, place + 1)
    if byte_at(data, place) == CLOSE_OBJECT:
        return Members(place + 1, at, 0)
    for number in range(len(spans)):
        key = place + 1
        place, copied = _key(data, place, out, at)
        # An escape makes the copy shorter.
        if place == BROKEN or copied - at != place - 1 - key:
            return none
        key_end = place - 1
        value = _colon(data, place)
        if byte_at(data, value) == QUOTE and is_key(data, key, key_end, text_key):
            place, at = copy_string(data, value + 1, out, at)
        else:
            place = _skip_value(data, value, stack, out, at)
        if place == BROKEN:
            return none
        spans[number, 0], spans[number, 1] = key, key_end
        spans[number, 2], spans[number, 3] = value, place
        place = skip_space(data, place)
        byte = byte_at(data, place)
        if byte == CLOSE_OBJECT:
            return Members(place + 1, at, number + 1)
        if byte != COMMA:
            return none
        place = skip_space(data, place + 1)
    return none


@kernel
def is_key(data: Bytes, start: int, end: int, key: Bytes) -> bool:
    """Whether the bytes from ``start`` to ``end`` are those of ``key``."""
    if end - start != len(key):
        return False
    for step in range(len(key)):  # noqa: SIM110 - numba has no generators
        if data[start + step] != key[step]:
            return False
    return True


@kernel
def _key(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    if byte_at(data, place) != QUOTE:
        return BROKEN, at
    return copy_string(data, place + 1, out, at)


@kernel
def _colon(data: Bytes, place: int) -> int:
    """Where the value after a key begins; without a colon, a place where no value can begin."""
    place = skip_space(data, place)
    return skip_space(data, place + 1) if byte_at(data, place) == COLON else len(data)


@kernel
def _skip_value(data: Bytes, place: int, stack: Bytes, out: Bytes, at: int) -> int:
    """The place after the value that begins at ``place``; BROKEN if malformed or too deep."""
    depth = 0
    while True:
        byte = byte_at(data, place)
        closed = True
        if byte == QUOTE:
            place, _ = copy_string(data, place + 1, out, at)
        elif byte in (OPEN_LIST, OPEN_OBJECT):
            depth += 1
            if depth > DEEPEST:
                return BROKEN
            # The closing bracket is two behind the opening one, for both kinds.
            stack[depth] = byte + 2
            place = skip_space(data, place + 1)
            closed = byte_at(data, place) == byte + 2
            if closed:
                depth -= 1
                place += 1
        else:
            place = _skip_scalar(data, place)
        while closed and depth and place != BROKEN:
            place = skip_space(data, place)
            byte = byte_at(data, place)
            closed = byte == stack[depth]
            depth -= closed
            if not closed and byte != COMMA:
                return BROKEN
            place += 1
        if place == BROKEN or (closed and not depth):
            return place
        place = skip_space(data, place)
        if stack[depth] == CLOSE_OBJECT:
            place, _ = _key(data, place, out, at)
            if place == BROKEN:
                return BROKEN
            place = _colon(data, place)


@kernel
def _skip_scalar(data: Bytes, place: int) -> int:
    byte = byte_at(data, place)
    if byte == LOWER_T:
        word = TRUE
    elif byte == LOWER_F:
        word = FALSE
    elif byte == LOWER_N:
        word = NULL
    else:
        return _skip_number(data, place)
    end = place + len(word)
    return end if end <= len(data) and is_key(data, place, end, word) else BROKEN


@kernel
def _skip_number(data: Bytes, place: int) -> int:
    place += byte_at(data, place) == MINUS
    # No digit may follow a zero at the start; whatever follows it is no part of the number.
    whole = place + 1 if byte_at(data, place) == ZERO else _skip_digits(data, place)
    if whole == BROKEN:
        return BROKEN
    place = whole
    if byte_at(data, place) == DOT:
        place = _skip_digits(data, place + 1)
    if place != BROKEN and byte_at(data, place) in (LOWER_E, UPPER_E):
        place += 1
        place = _skip_digits(data, place + (byte_at(data, place) in (PLUS, MINUS)))
    return place


@kernel
def _skip_digits(data: Bytes, place: int) -> int:
    start = place
    while ZERO <= byte_at(data, place) <= NINE:
        place += 1
    return place if place > start else BROKEN


@kernel
def append_member(data: Bytes, span: Places, out: Bytes, begin: int, at: int) -> int:
    """Append a member to the object that begins at ``begin``; where the member ends.

    Args:
        data: the lines.
        span: int64[4], start and end of key and value.
        out: up to json_bytes.WIDTH bytes behind the member may change.
        begin: of the object, whose opening bracket the first member brings.
        at: behind the members so far.
    """
    out[at] = OPEN_OBJECT if at == begin else COMMA
    at = copy_raw(data, span[0] - 1, span[1] + 1, out, at + 1)
    out[at] = COLON
    if data[span[2]] in (OPEN_LIST, OPEN_OBJECT):
        return _copy_dense(data, span[2], span[3], out, at + 1)
    return copy_raw(data, span[2], span[3], out, at + 1)


@kernel
def _copy_dense(data: Bytes, place: int, end: int, out: Bytes, at: int) -> int:
    """Copy without insignificant white space; returns where the copy ends."""
    quoted = escaped = False
    for here in range(place, end):
        byte = data[here]
        if quoted:
            quoted = escaped or byte != QUOTE
            escaped = byte == BACKSLASH and not escaped
        elif byte <= SPACE:
            continue
        elif byte == QUOTE:
            quoted = True
        out[at] = byte
        at += 1
    return at
