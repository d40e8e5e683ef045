"""A file whose parts are prefetched where they are known to be needed, in few large requests."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from strata.storage.contracts.store import ByteRange, FileInfo, Store
from strata.storage.transfer.pool import Role, submit

__all__ = ["PART", "PrefetchedFile", "coalesce"]

# Between two wanted ranges, reading this many unneeded bytes is cheaper than another request.
_GAP = 1 << 20
PART = 16 << 20
"""Bytes of the largest request."""
# Number of files of one process that fetch ahead at the same time.
_AHEAD_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    data: memoryview


class PrefetchedFile(io.RawIOBase):
    """A seekable file, served from the prefetched ranges or else from the store.

    Holds only the ranges of the last :meth:`prefetch`, those being fetched ahead, and ``tail``, the
    last bytes of the file.

    Attributes:
        size: bytes of the file.
    """

    def __init__(self, store: Store, info: FileInfo, tail: bytes) -> None:
        self._store = store.pinned(info)
        self._url = info.url
        self.size = size = info.size
        self._at = 0
        self._stack = ExitStack()
        self._direct: BinaryIO | None = None
        self._tail = _Part(size - len(tail), memoryview(tail))
        self._parts: list[_Part] = []
        self._coming: tuple[list[ByteRange], Future[list[_Part]]] | None = None

    def prefetch(self, ranges: Iterable[ByteRange]) -> None:
        """Fetch ``ranges`` now, and drop those of the previous call."""
        self._parts = []
        wanted, coming = self._missing(ranges), self._coming
        self._coming = None
        if coming is not None and coming[0] == wanted:
            self._parts = coming[1].result()
        else:
            self._parts = self._fetch(wanted)

    def fetch_ahead(self, ranges: Iterable[ByteRange]) -> None:
        """Start fetching what the next :meth:`prefetch` will ask for."""
        wanted = self._missing(ranges)
        self._coming = wanted, submit(Role.AHEAD, _AHEAD_THREADS, self._fetch, wanted)

    def _missing(self, ranges: Iterable[ByteRange]) -> list[ByteRange]:
        """The ranges that must be requested: the end of the file is already there."""
        cut = (ByteRange(each.start, min(each.end, self._tail.start)) for each in ranges)
        return coalesce(each for each in cut if each.end > each.start)

    def _fetch(self, ranges: Sequence[ByteRange]) -> list[_Part]:
        if not ranges:
            return []
        chunks = self._store.read_ranges(self._url, ranges)
        return [_Part(r.start, memoryview(chunk)) for r, chunk in zip(ranges, chunks, strict=True)]

    def readable(self) -> bool:
        """True: this is an input."""
        return True

    def seekable(self) -> bool:
        """True: any offset can be read."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte offset."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Byte offset of the next read."""
        return self._at

    def read(self, size: int | None = -1) -> bytes | memoryview:
        """Read up to ``size`` bytes, or to the end; prefetched bytes are not copied."""
        rest = max(0, self.size - self._at)
        count = rest if size is None or size < 0 else min(size, rest)
        data = self._cached(count)
        if data is None:
            data = self._read_direct(count)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """Read to the end."""
        return bytes(self.read())

    def _cached(self, count: int) -> bytes | memoryview | None:
        for part in (*self._parts, self._tail):
            offset = self._at - part.start
            if offset >= 0 and offset + count <= len(part.data):
                return part.data[offset : offset + count]
        return self._joined(count)

    def _joined(self, count: int) -> bytes | None:
        pieces, at, end = [], self._at, self._at + count
        for part in (*self._parts, self._tail):
            if part.start <= at < part.start + len(part.data):
                piece = part.data[at - part.start : end - part.start]
                pieces.append(piece)
                at += len(piece)
        return b"".join(pieces) if at == end else None

    def _read_direct(self, count: int) -> bytes:
        if self._direct is None:
            self._direct = self._stack.enter_context(self._store.open_input(self._url))
        self._direct.seek(self._at)
        return self._direct.read(count)

    def close(self) -> None:
        """Release memory and connection."""
        self._parts = []
        if self._coming is not None:
            self._coming[1].cancel()
            self._coming = None
        self._stack.close()
        super().close()


def coalesce(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """Join ranges that are close together, and split those that are too long for one request."""
    joined: list[ByteRange] = []
    for wanted in sorted(ranges):
        if joined and wanted.start - joined[-1].end <= _GAP:
            joined[-1] = ByteRange(joined[-1].start, max(joined[-1].end, wanted.end))
        else:
            joined.append(wanted)
    return [
        ByteRange(start, min(start + PART, whole.end))
        for whole in joined
        for start in range(whole.start, whole.end, PART)
    ]
