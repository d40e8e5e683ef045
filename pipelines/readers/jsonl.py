"""JSON lines, read a block at a time straight into columns.

What a compiled scan takes is done; each other line goes alone the precise way, which says what is
wrong with it, or makes a document of it after all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.readers.json_record import BadRecord, parse_record
from strata.pipelines.readers.json_table import LinesRead, line_rules, read_lines
from strata.pipelines.readers.lines import LineBlock
from strata.pipelines.readers.records import Columns, ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import Reject, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["JsonLines"]


class JsonLines:
    """Reads the blocks of one file.

    Args:
        file: the file, for ids and rejects.
        max_document_bytes: largest text.
        longest_line: largest record.
    """

    def __init__(self, file: InputFile, max_document_bytes: int, longest_line: int) -> None:
        self._file = file
        self._limit = max_document_bytes
        self._longest_line = longest_line
        self._rules = line_rules(file.options.fields, longest_line)

    def read(self, block: LineBlock) -> Iterator[ReadBatch]:
        """The records of one block of lines."""
        if block.too_long:
            one = reject(self._file, block.offset, RejectReason.TOO_LONG, block.data)
            yield build_batch(self._file, Columns.empty(), [one], 1, self._limit)
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
        return build_batch(self._file, columns, rejects, seen, self._limit)

    def _append(self, rows: Rows, position: int, line: bytes) -> None:
        if len(line) > self._longest_line:
            raise BadRecord(RejectReason.TOO_LONG)
        record = parse_record(line, self._file.options.fields)
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
