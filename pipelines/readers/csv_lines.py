"""The lines of a CSV file for the standard library's reader, in bounded memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from strata.pipelines.readers.lines import BOM

__all__ = ["CsvLines"]

HEAD = 800


class CsvLines:
    """Lines as text, counted by record; bytes that are no UTF-8 become surrogates.

    The reader asks for more than one line of a record only inside a quoted field. So once a record
    is too long, lines that do not close the field can be passed over.

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
                # Unlike str.splitlines this takes nothing but a line feed for the end of a line.
                lines, passed, head = io.StringIO(piece, newline="\n"), 0, ""
            else:
                lines, passed, head = [piece.text], piece.size - len(piece.text), piece.head
            for line in lines:
                taken = self._taken
                self._taken = taken + len(line) + passed
                if not taken:
                    self.head = head or line[:HEAD]
                # Two quotes in a row stand for one within the field.
                elif self._taken > self._longest and '"' not in line.replace('""', ""):
                    continue
                yield line
        self.ended = self._taken > 0

    def start_record(self) -> None:
        """Count anew: the next line begins a record."""
        self._taken = 0

    @property
    def too_long(self) -> bool:
        """Whether the current record is too long."""
        return self._taken > self._longest


@dataclass(slots=True)
class _LongLine:
    """A line that is too long, reduced to one of the same quotes and delimiters.

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
