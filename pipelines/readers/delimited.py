"""CSV and TSV with a header row, by the standard library's reader (RFC 4180 quoting)."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import msgspec

from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["read_delimited"]


def read_delimited(
    file: InputFile, chunks: Iterator[bytes], max_document_bytes: int, batch_bytes: int
) -> Iterator[ReadBatch]:
    """The records of a file; positions are record numbers, the header not counted.

    Raises:
        BrokenFile: the header has no text column.
    """
    csv.field_size_limit(max(max_document_bytes, csv.field_size_limit()))
    delimiter = file.options.delimiter or ","
    rows = csv.reader(_lines(chunks), delimiter=delimiter, strict=True)
    header = next(rows, None)
    if header is None:
        return
    if file.options.fields.text not in header:
        names = ", ".join(header)[:200]
        raise BrokenFile(reject(file, 0, RejectReason.NO_TEXT_COLUMN, f"columns: {names}"))
    batch = _Batch(file, header)
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            batch.refuse(number, RejectReason.INVALID_CSV, str(error))
        else:
            if not row:
                continue
            batch.add(number, row)
        number += 1
        if batch.size >= batch_bytes:
            yield batch.built(max_document_bytes)
            batch = _Batch(file, header)
    if batch.records:
        yield batch.built(max_document_bytes)


class _Batch:
    """Rows on their way to a batch."""

    def __init__(self, file: InputFile, header: list[str]) -> None:
        self._file, self._header = file, header
        self._columns, self._rejects = Columns(), list[Reject]()
        self.size = self.records = 0

    def add(self, number: int, row: list[str]) -> None:
        """Take a row, or refuse it."""
        text = "\n".join(row)
        self.size += len(text)
        if len(row) != len(self._header):
            self.refuse(number, RejectReason.RAGGED_ROW, text)
            return
        try:
            text.encode()
        except UnicodeEncodeError:
            # Bytes that are no UTF-8 were carried as surrogates.
            self.refuse(number, RejectReason.INVALID_UTF8, text)
            return
        self.records += 1
        self._append(number, dict(zip(self._header, row, strict=True)))

    def refuse(self, number: int, reason: RejectReason, record: str) -> None:
        """Record a row that is no document."""
        self.records += 1
        self._rejects.append(reject(self._file, number, reason, record))

    def built(self, max_document_bytes: int) -> ReadBatch:
        """The rows so far."""
        return build_batch(
            self._file, self._columns, self._rejects, self.records, max_document_bytes
        )

    def _append(self, number: int, values: dict[str, str]) -> None:
        fields, columns = self._file.options.fields, self._columns
        columns.position.append(number)
        columns.text.append(values.pop(fields.text))
        columns.id.append(values.pop(fields.id, None) or None)
        columns.lang.append(values.pop(fields.lang, None) or None)
        columns.url.append(values.pop(fields.url, None) or None)
        columns.metadata.append(msgspec.json.encode(values) if values else None)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for number, raw in enumerate(chunks):
        chunk = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "surrogateescape") + "\n"
    if rest:
        yield rest.decode("utf-8", "surrogateescape")
