"""CSV and TSV with a header row, by the standard library's reader (RFC 4180 quoting)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from strata.pipelines.readers.csv_lines import CsvLines
from strata.pipelines.readers.lines import OTHER_FIELDS_BYTES
from strata.pipelines.readers.records import ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["read_csv"]

# Room for a text of doubled quotes.
RECORD_OVERHEAD = 2


def read_csv(
    file: InputFile, chunks: Iterator[bytes], max_document_bytes: int, batch_bytes: int
) -> Iterator[ReadBatch]:
    """The records of a file; positions are record numbers, the header not counted.

    Raises:
        BrokenFile: the header cannot be read, or has no text column; or a quote that never closes
            has swallowed more than one record can be.
    """
    # A setting of the whole process; here the lines bound a record.
    csv.field_size_limit(sys.maxsize)
    delimiter = file.options.delimiter or ","
    lines = CsvLines(chunks, delimiter, RECORD_OVERHEAD * max_document_bytes + OTHER_FIELDS_BYTES)
    records = _records(lines, delimiter)
    header = _header(file, records)
    if header is None:
        return
    batch = _Batch(file, header)
    for number, record in enumerate(records):
        if record.too_long and lines.ended:
            raise BrokenFile(reject(file, number, RejectReason.INVALID_CSV, record.head))
        batch.add(number, record)
        if batch.size >= batch_bytes:
            yield batch.built(max_document_bytes)
            batch = _Batch(file, header)
    if batch.records:
        yield batch.built(max_document_bytes)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record that is not blank.

    Attributes:
        fields: its values, or what is wrong with its quotes.
        too_long: whether parts of it were passed over.
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
        """Take a record, or refuse it."""
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

    def built(self, max_document_bytes: int) -> ReadBatch:
        """The records so far."""
        columns = self._rows.columns()
        return build_batch(self._file, columns, self._rejects, self.records, max_document_bytes)

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
    # Bytes that are no UTF-8 were carried as surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
