"""Kernels for fields inside of nested objects: finding them, and the objects without them.

A field is named by the keys that lead to it, with dots between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strata.pipelines.readers.json_bytes import BROKEN, byte_at, copy_raw, kernel, skip_space
from strata.pipelines.readers.json_values import append_member, is_key, parse_object

__all__ = ["FOUND", "append_rest", "find_path"]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

FOUND, ABSENT, NOWHERE = 0, -1, -2
QUOTE, BACKSLASH, COMMA, COLON, SPACE = b'"\\,: '
OPEN_OBJECT, CLOSE_OBJECT = b"{}"
NO_KEY = np.frombuffer(b'"', np.uint8)


@kernel
def find_path(
    data: Bytes,
    parts: Bytes,
    ends: Places,
    members: Places,
    count: int,
    own: Places,
    stack: Bytes,
    out: Bytes,
    at: int,
    found: Places,
) -> int:
    """Find the member that some keys lead to.

    Args:
        data: the lines.
        parts: uint8[total], the keys, one behind another.
        ends: int64[n + 1], where the first key begins, and where each ends.
        members: int64[most, 4], spans of the members of the outermost object.
        count: their number.
        own: int64[most, 4], to work with.
        stack: as for parse_object.
        out: bytes from ``at`` on change.
        at: see ``out``.
        found: int64[4], set to the span of the member.

    Returns:
        FOUND; NOWHERE; or BROKEN where an object on the way needs a closer look.
    """
    spans = members
    last = len(ends) - 2
    for step in range(last + 1):
        place = ABSENT
        for number in range(count):
            if is_key(data, spans[number, 0], spans[number, 1], parts[ends[step] : ends[step + 1]]):
                if place != ABSENT:
                    return BROKEN
                place = number
        if place == ABSENT:
            return NOWHERE
        value = spans[place, 2]
        if step == last:
            for side in range(4):
                found[side] = spans[place, side]
        elif data[value] != OPEN_OBJECT:
            return NOWHERE
        else:
            inner = parse_object(data, value, NO_KEY, own, stack, out, at)
            if inner.end == BROKEN or _has_repeated_key(data, own, inner.members):
                return BROKEN
            spans, count = own, inner.members
    return FOUND


@kernel
def _has_repeated_key(data: Bytes, spans: Places, count: int) -> bool:
    for number in range(count):
        key = data[spans[number, 0] : spans[number, 1]]
        for before in range(number):
            if is_key(data, spans[before, 0], spans[before, 1], key):
                return True
    return False


@kernel
def append_rest(
    data: Bytes, span: Places, holes: Places, opened: Places, out: Bytes, begin: int, at: int
) -> int:
    """As append_member, without what lies in a hole; an object that loses all it has is left out.

    Args:
        data: the lines.
        span: int64[4], start and end of key and value.
        holes: int64[n, 2], start of key and end of value of members that are left out.
        opened: int64[DEEPEST + 2, 2], to work with.
        out: see append_member.
        begin: see append_member.
        at: see append_member.
    """
    inside = False
    for hole in holes:
        if hole[0] == span[0]:
            return at
        inside |= span[2] < hole[0] < span[3]
    if not inside:
        return append_member(data, span, out, begin, at)
    start = at
    out[at] = OPEN_OBJECT if at == begin else COMMA
    at = copy_raw(data, span[0] - 1, span[1] + 1, out, at + 1)
    out[at] = COLON
    end = _copy_rest(data, span[2], span[3], holes, opened, out, at + 1)
    return start if end == at + 1 else end


@kernel
def _copy_rest(
    data: Bytes, place: int, end: int, holes: Places, opened: Places, out: Bytes, at: int
) -> int:
    """Copy an object densely, without holes; ends where it began if nothing is left of it."""
    quoted = escaped = False
    # Of each open object: where its key is in the copy, and whether it has lost a member.
    depth, member = 0, at
    while place < end:
        byte = data[place]
        if quoted:
            quoted = escaped or byte != QUOTE
            escaped = byte == BACKSLASH and not escaped
        elif byte <= SPACE:
            place += 1
            continue
        elif byte == QUOTE:
            after = _after_hole(holes, place)
            if after != ABSENT:
                opened[depth, 1] = 1
                place, at = _close_gap(data, after, out, at)
                member = at
                continue
            quoted = True
        elif byte == OPEN_OBJECT:
            depth += 1
            opened[depth, 0], opened[depth, 1] = member, 0
        elif byte == CLOSE_OBJECT:
            depth -= 1
            if opened[depth + 1, 1] and out[at - 1] == OPEN_OBJECT:
                at = opened[depth + 1, 0]
                if not depth:
                    return at
                opened[depth, 1] = 1
                place, at = _close_gap(data, place + 1, out, at)
                member = at
                continue
        out[at] = byte
        at += 1
        place += 1
        if not quoted and byte in (OPEN_OBJECT, COMMA):
            member = at
    return at


@kernel
def _after_hole(holes: Places, place: int) -> int:
    for hole in holes:
        # Spans of keys are without their quotes.
        if hole[0] == place + 1:
            return int(hole[1])
    return ABSENT


@kernel
def _close_gap(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    """Leave out the comma behind a member that was left out, or else the one before it."""
    place = skip_space(data, place)
    if byte_at(data, place) == COMMA:
        return place + 1, at
    return place, at - (out[at - 1] == COMMA)
