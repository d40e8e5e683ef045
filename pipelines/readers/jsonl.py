"""JSON lines, decoded a block at a time straight into columns.

A block goes through a decoder made for the keys that the file has. Where that fails, each line goes
alone; one that fails again goes the precise way, which says what is wrong with it or which keys it
adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from strata.pipelines.readers.json_record import BadRecord, check_text, parse_record
from strata.pipelines.readers.json_shape import Shape, SlowRecord
from strata.pipelines.readers.json_text import JsonValues, strings
from strata.pipelines.readers.lines import LineBlock
from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import Reject, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["DEEPEST", "JsonLines"]

# Far below what any parser's stack allows, so that the same records pass on every machine.
DEEPEST = 256
NEWLINE, RETURN, SPACE, OPEN_OBJECT, CLOSE_OBJECT = b"\n\r {}"
Places = npt.NDArray[np.int64]


class JsonLines:
    """Decodes the blocks of one file.

    Args:
        file: the file, for ids and rejects.
        max_document_bytes: largest text.
        longest_line: largest record.
    """

    def __init__(self, file: InputFile, max_document_bytes: int, longest_line: int) -> None:
        self._file = file
        self._limit = max_document_bytes
        self._longest_line = longest_line
        self._shape = Shape(file.options.fields)

    def read(self, block: LineBlock) -> ReadBatch:
        """The records of one block of lines."""
        if block.too_long:
            one = reject(self._file, block.offset, RejectReason.TOO_LONG, block.data)
            return build_batch(self._file, Columns.empty(), [one], 1, self._limit)
        lines = _lines(block.data)
        is_utf8 = _is_utf8(block.data)
        if is_utf8 and lines.hold_objects and lines.longest <= self._longest_line:
            if len(lines.starts):
                self._learn(block.data[lines.starts[0] : lines.ends[0]])
            if (batch := self._at_once(block, lines)) is not None:
                return batch
        return self._line_by_line(block, lines)

    def _learn(self, line: bytes) -> None:
        try:
            self._shape.decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._grow(line)

    def _grow(self, line: bytes) -> None:
        try:
            self._shape = self._shape.grown(parse_record(line, self._file.options.fields.text))
        except BadRecord:
            # It becomes a reject when its turn comes.
            return

    def _at_once(self, block: LineBlock, lines: _Lines) -> ReadBatch | None:
        """The batch, or None where some line needs a closer look."""
        try:
            records = self._shape.decoder.decode_lines(block.data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        if len(records) != len(lines.starts):
            return None
        text = JsonValues.of(self._shape.values(records, self._file.options.fields.text))
        if not text.are_strings:
            return None
        return self._batch(block, lines.starts, records, text, [], len(lines.starts))

    def _line_by_line(self, block: LineBlock, lines: _Lines) -> ReadBatch:
        good: list[Any] = []
        places: list[int] = []
        rejects: list[Reject] = []
        for start, end in zip(lines.starts.tolist(), lines.ends.tolist(), strict=True):
            line = block.data[start:end]
            try:
                good.append(self._decode(line))
                places.append(start)
            except BadRecord as bad:
                rejects.append(reject(self._file, block.offset + start, bad.reason, line))
        text = JsonValues.of(self._shape.values(good, self._file.options.fields.text))
        starts = np.array(places, np.int64)
        return self._batch(block, starts, good, text, rejects, len(lines.starts))

    def _decode(self, line: bytes) -> Any:  # noqa: ANN401 - a generated type
        if len(line) > self._longest_line:
            raise BadRecord(RejectReason.TOO_LONG)
        try:
            # The decoder does not look into raw values.
            line.decode()
            record = self._shape.decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            values = parse_record(line, self._file.options.fields.text)
            self._shape = self._shape.grown(values)
            return SlowRecord(values)
        check_text(self._shape.values([record], self._file.options.fields.text)[0])
        return record

    def _batch(
        self,
        block: LineBlock,
        starts: Places,
        records: Sequence[Any],
        text: JsonValues,
        rejects: Sequence[Reject],
        seen: int,
    ) -> ReadBatch:
        fields = self._file.options.fields
        metadata = self._shape.metadata(records)
        names = {
            key: strings(JsonValues.of(self._shape.values(records, key)))
            for key in {fields.id, fields.lang, fields.url}
        }
        columns = Columns(
            starts + block.offset,
            strings(text),
            names[fields.id],
            names[fields.lang],
            names[fields.url],
            metadata.text,
        )
        deep = np.flatnonzero(metadata.depth > DEEPEST).tolist()
        refused = dict.fromkeys(deep, RejectReason.TOO_DEEPLY_NESTED)
        return build_batch(self._file, columns, rejects, seen, self._limit, refused)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of a block that are not blank.

    Attributes:
        starts: int64[n], offsets in the block.
        ends: int64[n], before the newline.
        hold_objects: whether each begins with { and ends with }. No JSON value can then go on in
            the next line, so as many records as lines means one record a line.
    """

    starts: Places
    ends: Places
    hold_objects: bool

    @property
    def longest(self) -> int:
        """Bytes of the longest line."""
        return int((self.ends - self.starts).max(initial=0))


def _lines(data: bytes) -> _Lines:
    body = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(body == NEWLINE)
    starts = np.concatenate([[0], newlines + 1])
    ends = np.concatenate([newlines, [len(body)]])
    if starts[-1] == len(body):
        starts, ends = starts[:-1], ends[:-1]
    blank = [
        place
        for place in np.flatnonzero(body[starts] <= SPACE).tolist()
        if not data[starts[place] : ends[place]].strip()
    ]
    starts, ends = np.delete(starts, blank), np.delete(ends, blank)
    last = body[ends - 1]
    last = np.where(last == RETURN, body[ends - 2], last)
    objects = bool((body[starts] == OPEN_OBJECT).all() and (last == CLOSE_OBJECT).all())
    return _Lines(starts, ends, objects)


def _is_utf8(data: bytes) -> bool:
    ends = np.array([0, len(data)], np.int64)
    text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(ends), pa.py_buffer(data))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
