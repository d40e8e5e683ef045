"""CSV and TSV with a header row, by the standard library's reader (RFC 4180 quoting).

The lines that the reader gets are bounded, so that memory is, too.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from strata.pipelines.readers.lines import BOM, OTHER_FIELDS_BYTES
from strata.pipelines.readers.opening import open_plain
from strata.pipelines.readers.records import ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile, ReadLimits, Split
from strata.storage.contracts.store import Store

__all__ = ["CsvLines", "read_split"]

# Room for a text of doubled quotes.
RECORD_OVERHEAD = 2
HEAD = 800


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """The records of a file; positions are record numbers, the header not counted.

    Raises:
        BrokenFile: the header cannot be read, or has no text column; or a quote that is never
            closed has swallowed more than a record may hold.
    """
    with store.open_input(split.file.url) as handle:
        chunks = open_plain(handle, split.file).chunks
        yield from _read(split.file, chunks, limits)


def _read(file: InputFile, chunks: Iterator[bytes], limits: ReadLimits) -> Iterator[ReadBatch]:
    # A setting of the whole process; here records are bounded by their lines.
    csv.field_size_limit(sys.maxsize)
    delimiter = file.options.delimiter or ","
    longest = RECORD_OVERHEAD * limits.max_document_bytes + OTHER_FIELDS_BYTES
    lines = CsvLines(chunks, delimiter, longest)
    records = _records(lines, delimiter)
    header = _header(file, records)
    if header is None:
        return
    batch = _Batch(file, header)
    for number, record in enumerate(records):
        if record.too_long and lines.ended:
            raise BrokenFile(reject(file, number, RejectReason.INVALID_CSV, record.head))
        batch.add(number, record)
        if batch.size >= limits.batch_bytes:
            yield batch.built(limits)
            batch = _Batch(file, header)
    if batch.records:
        yield batch.built(limits)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record that is not blank.

    Attributes:
        fields: its values, or what is wrong with its quotes.
        too_long: whether parts of it were skipped.
        head: its beginning.
    """

    fields: list[str] | csv.Error
    too_long: bool
    head: str


def _records(lines: CsvLines, delimiter: str) -> Iterator[_Record]:
    rows = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    while True:
        lines.start_record()
        try:
            fields: list[str] | csv.Error = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fields = error
        if fields:
            yield _Record(fields, lines.too_long, lines.head)


def _header(file: InputFile, records: Iterator[_Record]) -> list[str] | None:
    record = next(records, None)
    if record is None:
        return None
    first = record.fields
    if isinstance(first, csv.Error) or record.too_long:
        what = first if isinstance(first, csv.Error) else "too long"
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_CSV, f"header: {what}"))
    names = ", ".join(first)
    if not _is_unicode(names):
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_UTF8, f"header: {names}"))
    if file.options.fields.text not in first:
        raise BrokenFile(reject(file, 0, RejectReason.NO_TEXT_COLUMN, f"columns: {names}"))
    if len(set(first)) < len(first):
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_CSV, f"doubled columns: {names}"))
    return first


class _Batch:
    """Records on their way to a batch."""

    def __init__(self, file: InputFile, header: list[str]) -> None:
        self._file, self._header = file, header
        self._rows, self._rejects = Rows(), list[Reject]()
        self.size = self.records = 0

    def add(self, number: int, record: _Record) -> None:
        """Add a record, or a reject for it."""
        fields = record.fields
        if record.too_long:
            self._refuse(number, RejectReason.TOO_LONG, record.head)
        elif isinstance(fields, csv.Error):
            self._refuse(number, RejectReason.INVALID_CSV, record.head)
        elif len(fields) != len(self._header):
            self._refuse(number, RejectReason.RAGGED_ROW, record.head)
        elif not _is_unicode("\n".join(fields)):
            self._refuse(number, RejectReason.INVALID_UTF8, record.head)
        else:
            self.records += 1
            self.size += sum(map(len, fields))
            self._append(number, dict(zip(self._header, fields, strict=True)))

    def _refuse(self, number: int, reason: RejectReason, record: str) -> None:
        one = reject(self._file, number, reason, record)
        self.records += 1
        self.size += len(one.uri) + len(one.excerpt)
        self._rejects.append(one)

    def built(self, limits: ReadLimits) -> ReadBatch:
        """The records so far."""
        columns = self._rows.columns()
        return build_batch(self._file, columns, self._rejects, self.records, limits)

    def _append(self, number: int, values: dict[str, str]) -> None:
        fields, rows = self._file.options.fields, self._rows
        rows.position.append(number)
        rows.text.append(values[fields.text])
        rows.id.append(values.get(fields.id) or None)
        rows.lang.append(values.get(fields.lang) or None)
        rows.url.append(values.get(fields.url) or None)
        rows.date.append(values.get(fields.date))
        for name in (fields.text, fields.id, fields.lang, fields.url):
            values.pop(name, None)
        rows.metadata.append(msgspec.json.encode(values) if values else None)


def _is_unicode(text: str) -> bool:
    # Bytes that are not UTF-8 were carried as surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class CsvLines:
    """Lines as text, counted by record; bytes that are not UTF-8 become surrogates.

    The reader fetches more than one line of a record only inside a quoted field. So once a record
    is too long, lines that do not close the field can be skipped.

    Args:
        chunks: the decompressed stream.
        delimiter: between fields.
        longest: bytes of the longest line, and characters of the largest record, that are kept.

    Attributes:
        head: beginning of the current record.
        ended: whether the file ended within the current record.
    """

    def __init__(self, chunks: Iterator[bytes], delimiter: str, longest: int) -> None:
        self._pieces = _pieces(_without_bom(chunks), delimiter, longest)
        self._longest = longest
        self._taken = 0
        self.head = ""
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            lines: Iterable[str]
            if isinstance(piece, str):
                # Unlike str.splitlines, this ends lines only at a line feed.
                lines, passed, head = io.StringIO(piece, newline="\n"), 0, ""
            else:
                lines, passed, head = [piece.text], piece.size - len(piece.text), piece.head
            for line in lines:
                taken = self._taken
                self._taken = taken + len(line) + passed
                if not taken:
                    self.head = head or line[:HEAD]
                # Two quotes in a row are an escaped quote within the field.
                elif self._taken > self._longest and '"' not in line.replace('""', ""):
                    continue
                yield line
        self.ended = self._taken > 0

    def start_record(self) -> None:
        """Reset the count: the next line begins a record."""
        self._taken = 0

    @property
    def too_long(self) -> bool:
        """Whether the current record is too long."""
        return self._taken > self._longest


@dataclass(slots=True)
class _LongLine:
    """A line that is too long, reduced to one with the same quotes and delimiters.

    Attributes:
        head: its beginning.
        size: bytes of the line in the file.
        parts: what is left of it.
    """

    head: str
    size: int
    parts: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        return _text(b"".join(self.parts))


def _pieces(chunks: Iterator[bytes], delimiter: str, longest: int) -> Iterator[str | _LongLine]:
    """Whole lines, many in a piece, or one that is too long."""
    ordinary = re.compile(b'[^\r\n"%s]+' % re.escape(delimiter.encode()))
    parts: list[bytes] = []
    size = 0
    long: _LongLine | None = None
    for chunk in _with_line_ends(chunks, longest):
        parts.append(chunk)
        size += len(chunk)
        if size > longest:
            data = b"".join(parts)
            long = long or _LongLine(_text(data[:HEAD]), size)
            long.size = size
            long.parts.append(ordinary.sub(b"x", data))
            parts = []
        if chunk.endswith(b"\n"):
            yield long or _text(b"".join(parts))
            parts, size, long = [], 0, None
    if size:
        yield long or _text(b"".join(parts))


def _with_line_ends(chunks: Iterator[bytes], longest: int) -> Iterator[bytes]:
    """The rest of a line that began before, then whole lines, then the beginning of one."""
    for chunk in chunks:
        first = chunk.find(b"\n") + 1
        last = chunk.rfind(b"\n") + 1
        yield chunk[:first]
        if last - first <= longest:
            yield chunk[first:last]
        else:
            # One of them may be too long.
            yield from io.BytesIO(chunk[first:last])
        yield chunk[last:]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= len(BOM):
            break
    yield first.removeprefix(BOM)
    yield from chunks
