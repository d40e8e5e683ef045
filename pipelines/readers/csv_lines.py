"""The lines of a CSV file for the standard library's reader, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from strata.pipelines.readers.lines import BOM

__all__ = ["CsvLines"]

HEAD_BYTES = 800


class CsvLines:
    """Lines as text, counted by record; bytes that are no UTF-8 become surrogates.

    The reader asks for more than one line of a record only inside a quoted field. So once a record
    is too long, lines that do not close the field can be passed over.

    Args:
        chunks: the decompressed stream.
        delimiter: between fields.
        longest: bytes of the largest record that is kept.

    Attributes:
        ended: whether the file ended within the current record.
    """

    def __init__(self, chunks: Iterator[bytes], delimiter: str, longest: int) -> None:
        self._lines = _lines(_without_bom(chunks), delimiter, longest)
        self._longest = longest
        self._taken = 0
        self._first: bytes | _LongLine = b""
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            data, size = (line, len(line)) if isinstance(line, bytes) else (line.data, line.size)
            within = self._taken
            self._taken += size
            if not within:
                self._first = line
            # Two quotes in a row stand for one within the field.
            elif self.too_long and b'"' not in data.replace(b'""', b""):
                continue
            yield data.decode("utf-8", "surrogateescape")
        self.ended = self._taken > 0

    def start_record(self) -> None:
        """Count anew: the next line begins a record."""
        self._taken = 0

    @property
    def too_long(self) -> bool:
        """Whether the current record is too long."""
        return self._taken > self._longest

    @property
    def head(self) -> bytes:
        """The beginning of the current record."""
        first = self._first if isinstance(self._first, bytes) else self._first.head
        return first[:HEAD_BYTES]


@dataclass(slots=True)
class _LongLine:
    """A line that is too long, reduced to one of the same quotes and delimiters.

    Attributes:
        head: its beginning.
        size: bytes of the line in the file.
        parts: what is left of it.
    """

    head: bytes
    size: int
    parts: list[bytes] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


def _lines(chunks: Iterator[bytes], delimiter: str, longest: int) -> Iterator[bytes | _LongLine]:
    ordinary = re.compile(b'[^\r\n"%s]+' % re.escape(delimiter.encode()))
    parts: list[bytes] = []
    size = 0
    long: _LongLine | None = None
    for chunk in chunks:
        # Splitting a large chunk into lines at once is what makes this fast.
        first, *others = chunk.split(b"\n")
        ends = bool(others)
        size += len(first) + ends
        parts.append(first + b"\n" if ends else first)
        if size > longest:
            long = long or _LongLine(b"".join(parts)[:HEAD_BYTES], size)
            long.size = size
            long.parts.append(ordinary.sub(b"x", b"".join(parts)))
            parts = []
        if ends:
            yield long or b"".join(parts)
            for line in others[:-1]:
                yield line + b"\n"
            parts, size, long = [others[-1]], len(others[-1]), None
    if size:
        yield long or b"".join(parts)


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= len(BOM):
            break
    yield first.removeprefix(BOM)
    yield from chunks
