"""Lines of JSON to columns, a table of bounded size at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from strata.pipelines.readers.json_bytes import WIDTH
from strata.pipelines.readers.json_record import METADATA
from strata.pipelines.readers.json_scan import LineRules, LineTable, scan_lines, unescape_all
from strata.pipelines.readers.records import Columns
from strata.settings import FieldMapping

__all__ = ["LinesRead", "line_rules", "read_lines"]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

# Lines in one table: many tiny ones must not take many times their size.
MAX_LINES = 1 << 16
SMALLEST_LINE = len(b'{"":""}\n')


@dataclass(frozen=True, slots=True)
class LinesRead:
    """Some lines.

    Attributes:
        columns: the records that are documents.
        odd: int64[n, 2], start and end of the lines that need a closer look.
    """

    columns: Columns
    odd: Places


def line_rules(fields: FieldMapping, longest: int) -> LineRules:
    """What to look for in lines of up to ``longest`` bytes."""
    # A key that JSON writes with an escape is met by no line that the scan takes.
    names = (fields.text, fields.id, fields.lang, fields.url, fields.date, METADATA)
    keys = [key.encode() for key in names]
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
    return LineRules(longest, np.frombuffer(b"".join(keys), np.uint8), ends)


def read_lines(data: bytes, offset: int, rules: LineRules) -> Iterator[LinesRead]:
    """Read whole lines; positions count from ``offset``, places of odd lines from the data."""
    body = np.frombuffer(data, np.uint8)
    place = 0
    while place < len(body):
        size = len(body) - place
        table = LineTable.of(min(MAX_LINES, size // SMALLEST_LINE + 1), size)
        end = scan_lines(body, place, rules, table)
        names = table.names[:, : end.rows]
        columns = Columns(
            position=table.start[: end.rows] + offset,
            text=_array(table.text, table.text_end[: end.rows]),
            id=_strings(body, names[0]),
            lang=_strings(body, names[1]),
            url=_strings(body, names[2]),
            date=_strings(body, names[3]),
            metadata=_nullable(table.metadata, table.metadata_end[: end.rows]),
        )
        yield LinesRead(columns, table.odd[: end.odd])
        place = end.place


def _strings(data: Bytes, spans: Places) -> pa.LargeStringArray:
    room = int((spans[:, 1] - spans[:, 0]).sum())
    out = np.empty(room + WIDTH, np.uint8)
    ends, valid = np.empty(len(spans), np.int64), np.empty(len(spans), np.bool_)
    unescape_all(data, spans, out, ends, valid)
    return _array(out, ends, valid)


def _nullable(data: Bytes, ends: Places) -> pa.LargeStringArray:
    return _array(data, ends, np.diff(ends, prepend=0) > 0)


def _array(
    data: Bytes, ends: Places, valid: npt.NDArray[np.bool_] | None = None
) -> pa.LargeStringArray:
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    used = data[: offsets[-1]]
    if used.nbytes < data.nbytes * 3 // 4:
        # A batch that waits for others must not hold much more than it counts for.
        used = used.copy()
    mask = None
    if valid is not None and not valid.all():
        mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.LargeStringArray.from_buffers(
        len(ends), pa.py_buffer(offsets), pa.py_buffer(used), mask
    )
