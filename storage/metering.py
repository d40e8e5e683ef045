"""Counting what a store moves, as a wrapper around it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from strata.storage.contract import ByteRange, FileInfo, Output, Store
from strata.storage.file_names import facts_of_name
from strata.storage.url import Url

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["FileReads", "IoMeter", "MeteredStore"]


@dataclass(frozen=True, slots=True)
class FileReads:
    """Reads of one data file; adds up with ``+``.

    Attributes:
        reads: tasks that read from it.
        n_bytes: what they read.
    """

    reads: int = 0
    n_bytes: int = 0

    def __add__(self, other: FileReads) -> FileReads:
        return FileReads(self.reads + other.reads, self.n_bytes + other.n_bytes)


@dataclass(slots=True)
class IoMeter:
    """Bytes and calls that went through a store; adds up with ``+``.

    ``files`` has the bytes read of each data file, by its name.
    """

    bytes_read: int = 0
    read_requests: int = 0
    bytes_written: int = 0
    write_requests: int = 0
    files: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: IoMeter) -> IoMeter:
        names = self.files.keys() | other.files.keys()
        return IoMeter(
            self.bytes_read + other.bytes_read,
            self.read_requests + other.read_requests,
            self.bytes_written + other.bytes_written,
            self.write_requests + other.write_requests,
            {name: self.files.get(name, 0) + other.files.get(name, 0) for name in names},
        )

    @property
    def file_reads(self) -> dict[str, FileReads]:
        """Each data file that was read, as one read."""
        return {name: FileReads(1, n_bytes) for name, n_bytes in self.files.items()}

    def note_file(self, url: Url, size: int) -> None:
        """Record that ``size`` bytes of a file were read, if it is a data file of a table."""
        name = url.name
        if name in self.files or facts_of_name(name).codec:
            self.files[name] = self.files.get(name, 0) + size

    def count_read(self, size: int) -> None:
        """Record one read of ``size`` bytes."""
        self.bytes_read += size
        self.read_requests += 1

    def count_write(self, size: int) -> None:
        """Record one write of ``size`` bytes."""
        self.bytes_written += size
        self.write_requests += 1


@dataclass(frozen=True, slots=True)
class MeteredStore(Store):
    """A store that counts into ``meter`` what passes through ``inner``."""

    inner: Store
    meter: IoMeter = field(default_factory=IoMeter)

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file whose reads are counted."""
        return cast("BinaryIO", _MeteredInput(self.inner.open_input(url), self.meter, url))

    def create(self, url: Url) -> Output:
        """Open an output whose writes are counted."""
        return _MeteredOutput(self.inner.create(url), self.meter)

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        return self.inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder or that match a glob."""
        return self.inner.find(url)

    def delete(self, url: Url) -> None:
        """Remove one file."""
        self.inner.delete(url)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges; each counts as one request."""
        parts = self.inner.read_ranges(url, ranges)
        for part in parts:
            self.meter.count_read(len(part))
        self.meter.note_file(url, sum(len(part) for part in parts))
        return parts


class _MeteredInput(io.BufferedIOBase):
    def __init__(self, inner: BinaryIO, meter: IoMeter, url: Url) -> None:
        self._inner = inner
        self._meter = meter
        self._url = url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        data = self._inner.read(-1 if size is None else size)
        self._count(len(data))
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def readinto(self, buffer: WriteableBuffer) -> int:
        count: int = cast("Any", self._inner).readinto(buffer)
        self._count(count)
        return count

    def _count(self, size: int) -> None:
        self._meter.count_read(size)
        self._meter.note_file(self._url, size)

    def readline(self, size: int | None = -1) -> bytes:
        line = self._inner.readline(-1 if size is None else size)
        self._meter.bytes_read += len(line)
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()


class _MeteredOutput(Output):
    def __init__(self, inner: Output, meter: IoMeter) -> None:
        self._inner = inner
        self._meter = meter

    def write(self, data: ReadableBuffer) -> int:
        count = self._inner.write(data)
        self._meter.count_write(count)
        return count

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()

    def discard(self) -> None:
        if not self.closed:
            self._inner.discard()
            super().close()
