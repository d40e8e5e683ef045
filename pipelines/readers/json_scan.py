"""From lines of JSON to documents, straight from the bytes.

One pass over a line checks all of its grammar, copies its text without escapes and assembles its
metadata. An unusual line (malformed, without a text, with an escape in a key, with a repeated key,
...) is only marked, for Python to examine. So the kernel may refuse lines that are well-formed, but
never accepts one that is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from strata.pipelines.readers.json_bytes import (
    BROKEN,
    NONE,
    WIDTH,
    byte_at,
    cached_kernel,
    copy_raw,
    copy_string,
    is_utf8,
    kernel,
    skip_space,
)
from strata.pipelines.readers.json_paths import FOUND, append_rest, find_path
from strata.pipelines.readers.json_values import DEEPEST, append_member, is_key, parse_object

__all__ = ["LineRules", "LineTable", "ScanEnd", "scan_lines", "unescape_all"]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

# Records with more members take the slow path.
MAX_MEMBERS = 128
NEWLINE, QUOTE, LOWER_N, OPEN_OBJECT, CLOSE_OBJECT = b'\n"n{}'
# What bytes.strip removes, except for the newline.
BLANKS = tuple(b"\t\v\f\r ")
TEXT, DATE, MAPPED, METADATA, ABSENT = 0, 4, 5, 5, -1
# No key in the data can be a quote.
NO_KEY = np.frombuffer(b'"', np.uint8)


class ScanWork(NamedTuple):
    """Working memory for the current record.

    Attributes:
        members: int64[most + 5, 4], start and end of key and value; at the end, those of text, id,
            lang, url and date where a path leads to them.
        own: int64[most, 4], the same of its own metadata.
        mapped: int64[6], the members that are text, id, lang, url, date and metadata, or ABSENT.
        others: int64[most], the other members, by key.
        stack: uint8[DEEPEST + 1].
        holes: int64[4, 2], see append_rest: where text, id, lang and url are in nested objects.
        opened: int64[DEEPEST + 2, 2], as for append_rest.
    """

    members: Places
    own: Places
    mapped: Places
    others: Places
    stack: Bytes
    holes: Places
    opened: Places


class LineTable(NamedTuple):
    """The output of a scan: rows are lines that became documents, odd lines those that did not.

    Attributes:
        start: int64[rows], where the line begins.
        names: int64[4, rows, 2], start and end of the raw id, lang, url and date; 0 where absent.
        text: uint8[total + json_bytes.WIDTH].
        text_end: int64[rows].
        metadata: uint8[total + json_bytes.WIDTH], JSON objects.
        metadata_end: int64[rows].
        odd: int64[odd, 2], start and end of lines that need a closer look.
    work: what the scan itself needs.
    """

    start: Places
    names: Places
    text: Bytes
    text_end: Places
    metadata: Bytes
    metadata_end: Places
    odd: Places
    work: ScanWork

    @classmethod
    def of(cls, lines: int, size: int) -> LineTable:
        """A table with room for ``lines`` lines that have ``size`` bytes in total."""
        return cls(
            np.empty(lines, np.int64),
            np.empty((MAPPED - 1, lines, 2), np.int64),
            np.empty(size + WIDTH, np.uint8),
            np.empty(lines, np.int64),
            np.empty(size + WIDTH, np.uint8),
            np.empty(lines, np.int64),
            np.empty((lines, 2), np.int64),
            ScanWork(
                np.empty((MAX_MEMBERS + MAPPED, 4), np.int64),
                np.empty((MAX_MEMBERS, 4), np.int64),
                np.empty(MAPPED + 1, np.int64),
                np.empty(MAX_MEMBERS, np.int64),
                np.empty(DEEPEST + 1, np.uint8),
                np.empty((DATE, 2), np.int64),
                np.empty((DEEPEST + 2, 2), np.int64),
            ),
        )


class LineRules(NamedTuple):
    """What counts as a document, and the keys of its fields.

    Attributes:
        longest: bytes of the longest line.
        keys: uint8[total], the keys of text, id, lang, url, date and metadata.
        key_ends: int64[6], ends of the keys.
        parts: uint8[total], the keys of the paths of text, id, lang, url and date.
        part_ends: int64[n + 1], where the first of them begins, and where each ends.
        path_ends: int64[6], as many parts come before text, and up to the end of each path; a field
            that is no path has none.
    """

    longest: int
    keys: Bytes
    key_ends: Places
    parts: Bytes
    part_ends: Places
    path_ends: Places


class ScanEnd(NamedTuple):
    """Where the next line begins, and the rows and odd lines before it."""

    place: int
    rows: int
    odd: int


class _Ends(NamedTuple):
    """Where a line ends, or BROKEN; where its text and its metadata end."""

    line: int
    text: int
    metadata: int


@cached_kernel
def scan_lines(data: Bytes, place: int, rules: LineRules, table: LineTable) -> ScanEnd:
    """Read lines until the data or the table end.

    Args:
        data: lines, each but the last with its newline.
        place: where the first line begins.
        rules: what to look for.
        table: what to write; text and metadata have room for all lines.
    """
    rows = odd = NONE
    ends = _Ends(place, NONE, NONE)
    while place < len(data) and rows < len(table.start) and odd < len(table.odd):
        start = place
        while byte_at(data, place) in BLANKS:
            place += 1
        if place == len(data) or data[place] == NEWLINE:
            place += 1
            continue
        found = _read(data, start, place, rules, table, ends)
        if found.line == BROKEN:
            place = start
            while place < len(data) and data[place] != NEWLINE:
                place += 1
            table.odd[odd, 0], table.odd[odd, 1] = start, place
            odd += 1
        else:
            ends, place = found, found.line
            table.start[rows] = start
            table.text_end[rows], table.metadata_end[rows] = ends.text, ends.metadata
            _record_names(table, rows)
            rows += 1
        place += 1
    return ScanEnd(min(place, len(data)), rows, odd)


@kernel
def _read(
    data: Bytes, start: int, place: int, rules: LineRules, table: LineTable, ends: _Ends
) -> _Ends:
    """Read the line from ``start``, whose first character is at ``place``."""
    none = _Ends(BROKEN, ends.text, ends.metadata)
    work = table.work
    text_key = rules.keys[: rules.key_ends[TEXT]]
    top = work.members[:MAX_MEMBERS]
    record = parse_object(data, place, text_key, top, work.stack, table.text, ends.text)
    if record.end == BROKEN:
        return none
    line_end = skip_space(data, record.end)
    if line_end < len(data) and data[line_end] != NEWLINE:
        return none
    if line_end - start > rules.longest or not is_utf8(data, start, line_end):
        return none
    others = _map_members(data, record.members, rules, work)
    text_end = record.text_end
    if others != BROKEN and rules.path_ends[MAPPED]:
        text_end = _map_paths(data, record.members, rules, table, ends.text, text_end)
    if others == BROKEN or text_end == BROKEN or not _has_text(data, work):
        return none
    metadata = _compose(data, others, rules, table, text_end, ends.metadata)
    return none if metadata == BROKEN else _Ends(line_end, text_end, metadata)


@kernel
def _map_members(data: Bytes, count: int, rules: LineRules, work: ScanWork) -> int:
    """Fill ``mapped`` and ``others``; returns the number of others, BROKEN if not a document."""
    work.mapped[:] = ABSENT
    others = NONE
    for number in range(count):
        columns = _map(data, number, rules, work)
        if columns == 0:
            columns = others = _insert(data, number, others, work)
        if columns == BROKEN:
            return BROKEN
    return others


@kernel
def _map_paths(
    data: Bytes, count: int, rules: LineRules, table: LineTable, text_at: int, text_end: int
) -> int:
    """Map the fields in nested objects, and copy the text if it is one of them; where it ends."""
    work = table.work
    work.holes[:] = ABSENT
    for column in range(MAPPED):
        first, last = rules.path_ends[column], rules.path_ends[column + 1]
        # A member of the record itself that is named with the dots wins.
        if first == last or work.mapped[column] != ABSENT:
            continue
        row = MAX_MEMBERS + column
        found = find_path(
            data,
            rules.parts,
            rules.part_ends[first : last + 1],
            work.members,
            count,
            work.own,
            work.stack,
            table.text,
            text_end,
            work.members[row],
        )
        if found == BROKEN:
            return BROKEN
        if found != FOUND:
            continue
        work.mapped[column] = row
        if column < DATE:
            work.holes[column, 0], work.holes[column, 1] = (
                work.members[row, 0],
                work.members[row, 3],
            )
        if column == TEXT and data[work.members[row, 2]] == QUOTE:
            _, text_end = copy_string(data, work.members[row, 2] + 1, table.text, text_at)
    return text_end


@kernel
def _has_text(data: Bytes, work: ScanWork) -> bool:
    text = work.mapped[TEXT]
    if text == ABSENT or data[work.members[text, 2]] != QUOTE:
        return False
    # Two bytes are the quotes of an empty text.
    return bool(work.members[text, 3] - work.members[text, 2] > 2)


@kernel
def _map(data: Bytes, number: int, rules: LineRules, work: ScanWork) -> int:
    """The number of columns that consume a member, BROKEN where one of them has a value already."""
    start, end = work.members[number, 0], work.members[number, 1]
    columns = first = NONE
    for column in range(MAPPED + 1):
        last = rules.key_ends[column]
        # A mapped key is not metadata, whatever its name.
        free = column != METADATA or not columns
        if free and is_key(data, start, end, rules.keys[first:last]):
            if work.mapped[column] != ABSENT:
                return BROKEN
            work.mapped[column] = number
            # A date also stays in the metadata, as it was written.
            columns += column != DATE
        first = last
    return columns


@kernel
def _insert(data: Bytes, number: int, count: int, work: ScanWork) -> int:
    """Insert a member by its key; returns the new number of others, BROKEN for a known key."""
    at = count
    while at > 0:
        order = _compare(data, work.members[work.others[at - 1]], work.members[number])
        if order == 0:
            return BROKEN
        if order < 0:
            break
        work.others[at] = work.others[at - 1]
        at -= 1
    work.others[at] = number
    return count + 1


@kernel
def _compare(data: Bytes, one: Places, other: Places) -> int:
    """Below 0 where the key of ``one`` comes first, 0 where they are the same."""
    one_size, other_size = one[1] - one[0], other[1] - other[0]
    for step in range(min(one_size, other_size)):
        left, right = data[one[0] + step], data[other[0] + step]
        if left != right:
            return -1 if left < right else 1
    return int(one_size - other_size)


@kernel
def _compose(
    data: Bytes, others: int, rules: LineRules, table: LineTable, text_at: int, begin: int
) -> int:
    """Write the metadata; returns where it ends, BROKEN where a key is repeated."""
    work, out = table.work, table.metadata
    at = begin
    base = work.mapped[METADATA]
    value = work.members[base, 2] if base != ABSENT else 0
    if base != ABSENT and data[value] == OPEN_OBJECT:
        own = parse_object(data, value, NO_KEY, work.own, work.stack, table.text, text_at)
        if own.end == BROKEN:
            return BROKEN
        for number in range(own.members):
            for other in range(others):
                if _compare(data, work.own[number], work.members[work.others[other]]) == 0:
                    return BROKEN
            at = _append(data, work.own[number], rules, table, begin, at)
    elif base != ABSENT and data[value] != LOWER_N:
        at = append_member(data, work.members[base], out, begin, at)
    for other in range(others):
        at = _append(data, work.members[work.others[other]], rules, table, begin, at)
    if at > begin:
        out[at] = CLOSE_OBJECT
        at += 1
    return at


@kernel
def _append(
    data: Bytes, span: Places, rules: LineRules, table: LineTable, begin: int, at: int
) -> int:
    out = table.metadata
    if rules.path_ends[MAPPED]:
        return append_rest(data, span, table.work.holes, table.work.opened, out, begin, at)
    return append_member(data, span, out, begin, at)


@kernel
def _record_names(table: LineTable, row: int) -> None:
    work = table.work
    for column in range(len(table.names)):
        member = work.mapped[column + 1]
        for side in range(2):
            place = 0 if member == ABSENT else work.members[member, 2 + side]
            table.names[column, row, side] = place


@cached_kernel
def unescape_all(
    data: Bytes, spans: Places, out: Bytes, ends: Places, valid: npt.NDArray[np.bool_]
) -> None:
    """Write strings without quotes and escapes, other values unchanged; null or absent: not valid.

    Args:
        data: the lines.
        spans: int64[n, 2], start and end of each value; both 0 where absent.
        out: uint8[total + json_bytes.WIDTH].
        ends: int64[n], set to the end of each value in ``out``.
        valid: bool[n], is set.
    """
    at = NONE
    for row in range(len(spans)):
        start, end = spans[row, 0], spans[row, 1]
        valid[row] = end > start and data[start] != LOWER_N
        if valid[row] and data[start] == QUOTE:
            _, at = copy_string(data, start + 1, out, at)
        elif valid[row]:
            at = copy_raw(data, start, end, out, at)
        ends[row] = at
