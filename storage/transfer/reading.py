"""An input over ranges of a file that reads ahead when it is read sequentially."""

from __future__ import annotations

import io
import os
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strata.storage.contracts.store import ByteRange, FileInfo, Store
from strata.storage.transfer.metering import counting, current_meter
from strata.storage.transfer.pool import Role, submit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["RangePlan", "RangedInput"]


@dataclass(frozen=True, slots=True)
class RangePlan:
    """How an input is read.

    Attributes:
        part_bytes: bytes of a request.
        ahead: parts that are fetched in advance once a reader continues from part to part.
        threads: number of threads that fetch ahead.
    """

    part_bytes: int
    ahead: int = 0
    threads: int = 1


class RangedInput(io.BufferedIOBase):
    """A seekable input over ``store.read_ranges``; holds one part, and the parts ahead of it."""

    def __init__(self, store: Store, info: FileInfo, plan: RangePlan) -> None:
        self._store = store
        self._info = info
        self._plan = plan
        self._meter = current_meter()
        self._at = 0
        self._number = -1
        self._part = b""
        self._coming: dict[int, Future[bytes]] = {}

    def readable(self) -> bool:
        """True: this is an input."""
        return True

    def seekable(self) -> bool:
        """True: any offset can be read."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes, or to the end."""
        rest = max(0, self._info.size - self._at)
        count = rest if size is None or size < 0 else min(size, rest)
        pieces = []
        while count > 0:
            piece = self._within_part(count)
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
            self._at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """Read at most to the end of the current part."""
        rest = max(0, self._info.size - self._at)
        piece = self._within_part(rest if size < 0 else min(size, rest))
        self._at += len(piece)
        return piece

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer``, or as much of it as the rest of the file fills."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """Read to the next newline."""
        pieces, left = [], self._info.size if size is None or size < 0 else size
        while left > 0 and self._at < self._info.size:
            start = self._load()
            end = self._part.find(b"\n", start, start + left) + 1 or len(self._part)
            piece = self._part[start : min(end, start + left)]
            if not piece:
                break
            pieces.append(piece)
            self._at += len(piece)
            left -= len(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte offset."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._info.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Byte offset of the next read."""
        return self._at

    def close(self) -> None:
        """Release the memory."""
        self._forget(keep=range(0))
        self._part = b""
        super().close()

    def _within_part(self, count: int) -> bytes:
        if count <= 0:
            return b""
        start = self._load()
        return self._part[start : start + count]

    def _load(self) -> int:
        """Load the part with the current offset, and return the position of the offset in it."""
        number, start = divmod(self._at, self._plan.part_bytes)
        if number != self._number:
            # A reader that jumps, as to a footer, would fetch parts that it never uses.
            ahead = self._plan.ahead if number == self._number + 1 else 0
            wanted = range(number, min(number + 1 + ahead, self._parts()))
            self._forget(keep=wanted)
            self._part, self._number = b"", -1
            for each in wanted[1:]:
                if each not in self._coming:
                    self._coming[each] = submit(Role.AHEAD, self._plan.threads, self._fetch, each)
            self._part = self._take(number)
            self._number = number
        return start

    def _take(self, number: int) -> bytes:
        coming = self._coming.pop(number, None)
        return self._fetch(number) if coming is None else coming.result()

    def _fetch(self, number: int) -> bytes:
        start = number * self._plan.part_bytes
        span = ByteRange(start, min(start + self._plan.part_bytes, self._info.size))
        with counting(self._meter):
            (data,) = self._store.read_ranges(self._info.url, [span])
        return data

    def _parts(self) -> int:
        return -(-self._info.size // self._plan.part_bytes)

    def _forget(self, *, keep: range) -> None:
        for number in [each for each in self._coming if each not in keep]:
            self._coming.pop(number).cancel()
