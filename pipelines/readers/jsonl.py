"""JSON lines, read a block at a time straight into columns.

Lines that the compiled scan accepts become columns, a table of bounded size at a time; every other
line goes through the precise parser, which says what is wrong with it or makes a document of it
after all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.json_bytes import WIDTH
from strata.pipelines.readers.json_record import METADATA, BadRecord, parse_record
from strata.pipelines.readers.json_scan import LineRules, LineTable, scan_lines, unescape_all
from strata.pipelines.readers.lines import (
    OTHER_FIELDS_BYTES,
    LineBlock,
    line_blocks,
    range_chunks,
)
from strata.pipelines.readers.opening import LineShape, line_shape, open_plain
from strata.pipelines.readers.records import Columns, ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile, ReadLimits, Split
from strata.settings import FieldMapping
from strata.storage.contracts.store import Store

__all__ = ["JsonLines", "LinesRead", "line_rules", "read_lines", "read_split"]

# Room for escapes: a two-byte letter takes six bytes where everything but ASCII is escaped.
LINE_OVERHEAD = 3

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
# Lines in one table: many tiny ones must not take many times their size.
MAX_LINES = 1 << 16
SMALLEST_LINE = len(b'{"":""}\n')


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """The records of the lines that begin in a piece of a file; positions are offsets in bytes.

    Raises:
        BrokenFile: the file is something else, or its records are not in lines.
    """
    file = split.file
    longest = LINE_OVERHEAD * limits.max_document_bytes + OTHER_FIELDS_BYTES
    lines = JsonLines(file, limits, longest)
    with store.open_input(file.url) as handle:
        if split.start:
            piece = range_chunks(handle, split.start, split.end)
            for block in line_blocks(piece.chunks, piece.offset, limits.batch_bytes, longest):
                yield from lines.read(block)
            return
        opened = open_plain(handle, file, split.end)
        chunks, shape = opened.chunks, line_shape(opened.head)
        if opened.compression is Compression.NONE:
            chunks = range_chunks(handle, 0, split.end, opened.head).chunks
        if shape in (LineShape.ARRAY, LineShape.SPREAD):
            raise _not_lines(file, shape)
        blocks = line_blocks(chunks, 0, limits.batch_bytes, longest)
        batches = (batch for block in blocks for batch in lines.read(block))
        yield from _no_array(file, batches) if shape is LineShape.LONG_ARRAY else batches


def _no_array(file: InputFile, batches: Iterator[ReadBatch]) -> Iterator[ReadBatch]:
    """The batches of a file whose first line is an array, or begins one."""
    documents = records = 0
    for batch in batches:
        documents += batch.documents.num_rows
        records += batch.records
        yield batch
    if records == 1 and not documents:
        raise _not_lines(file, LineShape.ARRAY)


def _not_lines(file: InputFile, shape: LineShape) -> BrokenFile:
    return BrokenFile(reject(file, 0, RejectReason.NOT_JSON_LINES, shape.sentence))


class JsonLines:
    """Reads the blocks of one file.

    Args:
        file: the file, for ids and rejects.
        limits: what a document may be.
        longest_line: largest record.
    """

    def __init__(self, file: InputFile, limits: ReadLimits, longest_line: int) -> None:
        self._file = file
        self._limits = limits
        self._longest_line = longest_line
        self._rules = line_rules(file.options.fields, longest_line)

    def read(self, block: LineBlock) -> Iterator[ReadBatch]:
        """The records of one block of lines."""
        if block.too_long:
            one = reject(self._file, block.offset, RejectReason.TOO_LONG, block.data)
            yield build_batch(self._file, Columns.empty(), [one], 1, self._limits)
            return
        for lines in read_lines(block.data, block.offset, self._rules):
            yield self._batch(block, lines)

    def _batch(self, block: LineBlock, lines: LinesRead) -> ReadBatch:
        slow, rejects = Rows(), list[Reject]()
        for start, end in lines.odd.tolist():
            line = block.data[start:end]
            try:
                self._append(slow, block.offset + start, line)
            except BadRecord as bad:
                rejects.append(reject(self._file, block.offset + start, bad.reason, line))
        columns = lines.columns
        seen = len(columns.text) + len(lines.odd)
        if slow.position:
            columns = _merged(columns, slow.columns())
        return build_batch(self._file, columns, rejects, seen, self._limits)

    def _append(self, rows: Rows, position: int, line: bytes) -> None:
        if len(line) > self._longest_line:
            raise BadRecord(RejectReason.TOO_LONG)
        record = parse_record(line, self._file.options.fields, self._limits.nul)
        rows.position.append(position)
        rows.text.append(record.text)
        rows.id.append(record.id)
        rows.lang.append(record.lang)
        rows.url.append(record.url)
        rows.date.append(record.date)
        rows.metadata.append(record.metadata)


def _merged(one: Columns, other: Columns) -> Columns:
    """The records of both, by position."""
    position = np.concatenate([one.position, other.position])
    order = np.argsort(position)
    pairs = [
        (one.text, other.text),
        (one.id, other.id),
        (one.lang, other.lang),
        (one.url, other.url),
        (one.date, other.date),
        (one.metadata, other.metadata),
    ]
    joined = [
        pc.take(pa.concat_arrays([a.cast(pa.large_string()), b.cast(pa.large_string())]), order)
        for a, b in pairs
    ]
    return Columns(position[order], *joined)


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
    # A key that JSON writes with an escape occurs in no line that the scan accepts.
    names = (fields.text, fields.id, fields.lang, fields.url, fields.date, METADATA)
    keys = [key.encode() for key in names]
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
    paths = [name.encode().split(b".") if "." in name else [] for name in names[:-1]]
    parts = [part for path in paths for part in path]
    return LineRules(
        longest,
        np.frombuffer(b"".join(keys), np.uint8),
        ends,
        np.frombuffer(b"".join(parts), np.uint8),
        np.cumsum([0, *map(len, parts)], dtype=np.int64),
        np.cumsum([0, *map(len, paths)], dtype=np.int64),
    )


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
        # A waiting batch must not hold much more memory than it is counted for.
        used = used.copy()
    mask = None
    if valid is not None and not valid.all():
        mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.LargeStringArray.from_buffers(
        len(ends), pa.py_buffer(offsets), pa.py_buffer(used), mask
    )
