"""CSV and TSV with a header row, by the standard library's reader (RFC 4180 quoting)."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import msgspec

from strata.pipelines.readers.lines import BOM
from strata.pipelines.readers.records import ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import BrokenFile, Reject, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["read_delimited"]

# More than UTF-8 ever needs, so that a line cut here has a field beyond the limit in characters.
BYTES_PER_CHARACTER = 5


def read_delimited(
    file: InputFile, chunks: Iterator[bytes], max_document_bytes: int, batch_bytes: int
) -> Iterator[ReadBatch]:
    """The records of a file; positions are record numbers, the header not counted.

    Raises:
        BrokenFile: the header cannot be read, or has no text column.
    """
    # A setting of the whole process, but one that every reader sets before it reads.
    csv.field_size_limit(max_document_bytes)
    lines = _lines(chunks, max_document_bytes)
    rows = csv.reader(lines, delimiter=file.options.delimiter or ",", strict=True)
    header = _header(file, rows)
    if header is None:
        return
    batch = _Batch(file, header)
    for number, row in enumerate(_records(rows)):
        if isinstance(row, csv.Error):
            batch.refuse(number, _reason(row), str(row))
        else:
            batch.add(number, row)
        if batch.size >= batch_bytes:
            yield batch.built(max_document_bytes)
            batch = _Batch(file, header)
    if batch.records:
        yield batch.built(max_document_bytes)


def _header(file: InputFile, rows: Iterator[list[str]]) -> list[str] | None:
    first = next(_records(rows), None)
    if first is None:
        return None
    if isinstance(first, csv.Error):
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_CSV, f"header: {first}"))
    names = ", ".join(first)
    if not _is_unicode(names):
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_UTF8, f"header: {names}"))
    if file.options.fields.text not in first:
        raise BrokenFile(reject(file, 0, RejectReason.NO_TEXT_COLUMN, f"columns: {names}"))
    if len(set(first)) < len(first):
        raise BrokenFile(reject(file, 0, RejectReason.INVALID_CSV, f"doubled columns: {names}"))
    return first


def _records(rows: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    """Rows that are not blank, and the errors of those that cannot be read."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
        else:
            if row:
                yield row


def _reason(error: csv.Error) -> RejectReason:
    return RejectReason.TOO_LONG if "field limit" in str(error) else RejectReason.INVALID_CSV


class _Batch:
    """Records on their way to a batch."""

    def __init__(self, file: InputFile, header: list[str]) -> None:
        self._file, self._header = file, header
        self._rows, self._rejects = Rows(), list[Reject]()
        self.size = self.records = 0

    def add(self, number: int, row: list[str]) -> None:
        """Take a record, or refuse it."""
        text = "\n".join(row)
        if len(row) != len(self._header):
            self.refuse(number, RejectReason.RAGGED_ROW, text)
        elif not _is_unicode(text):
            self.refuse(number, RejectReason.INVALID_UTF8, text)
        else:
            self.records += 1
            self.size += len(text)
            self._append(number, dict(zip(self._header, row, strict=True)))

    def refuse(self, number: int, reason: RejectReason, record: str) -> None:
        """Keep a record that is no document as a reject."""
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


def _lines(chunks: Iterator[bytes], longest: int) -> Iterator[str]:
    """The lines of a file; one that is too long comes in pieces, whose field is then too long."""
    parts: list[bytes] = []
    size = 0
    is_first = True
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        parts.append(chunk[:end] if end else chunk)
        size += len(chunk)
        if end or size > BYTES_PER_CHARACTER * longest:
            data = b"".join(parts)
            yield from _decoded(data.removeprefix(BOM) if is_first else data)
            is_first = False
            parts, size = ([chunk[end:]], len(chunk) - end) if end else ([], 0)
    if size:
        data = b"".join(parts)
        yield from _decoded(data.removeprefix(BOM) if is_first else data)


def _decoded(data: bytes) -> Iterator[str]:
    *whole, rest = data.split(b"\n")
    for line in whole:
        yield line.decode("utf-8", "surrogateescape") + "\n"
    if rest:
        yield rest.decode("utf-8", "surrogateescape")
