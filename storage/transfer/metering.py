"""Counting what a store transfers: bytes in a wrapper around it, requests where they are sent."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from strata.storage.contracts.store import ByteRange, FileInfo, Output, Store
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.layout.file_names import facts_of_name

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = [
    "Event",
    "FileReads",
    "IoMeter",
    "MeteredStore",
    "counting",
    "current_meter",
    "record",
]


class Event(StrEnum):
    """What is counted below a store; the value is the name of the meter's field."""

    READ = "read_requests"
    WRITE = "write_requests"
    RETRY = "retries"
    FAILOVER = "failovers"
    CACHE_HIT = "cache_hits"
    CACHE_MISS = "cache_misses"
    CACHE_BYTES = "cache_bytes"
    CACHE_FAULT = "cache_faults"


@dataclass(frozen=True, slots=True)
class FileReads:
    """Reads of one data file; adds up with ``+``.

    Attributes:
        reads: number of tasks that read from it.
        n_bytes: bytes that they read.
    """

    reads: int = 0
    n_bytes: int = 0

    def __add__(self, other: FileReads) -> FileReads:
        return FileReads(self.reads + other.reads, self.n_bytes + other.n_bytes)


@dataclass(slots=True)
class IoMeter:
    """Bytes and requests that went through a store; meters add up with ``+``.

    A request is one to a server, for any purpose: a part, a listing, the size of a file. For local
    files it is one call.

    Attributes:
        bytes_read: bytes that readers received, from the store or its cache.
        bytes_written: bytes that writers passed in.
        read_requests: requests that read.
        write_requests: requests that write.
        retries: requests that failed transiently and were sent again.
        failovers: number of switches to another endpoint.
        cache_hits: blocks that were in the cache.
        cache_misses: blocks that were not in the cache.
        cache_bytes: bytes that came from the cache.
        cache_faults: blocks that the cache could not store, or that were damaged.
        read_seconds: time that readers waited in reads, of all tasks together.
        write_seconds: time that writers waited in writes, likewise.
        files: reads of each data file, by its name; all of one meter count as one read.
    """

    bytes_read: int = 0
    bytes_written: int = 0
    read_requests: int = 0
    write_requests: int = 0
    retries: int = 0
    failovers: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0
    cache_faults: int = 0
    read_seconds: float = field(default=0.0, compare=False)
    write_seconds: float = field(default=0.0, compare=False)
    files: dict[str, FileReads] = field(default_factory=dict)

    def __add__(self, other: IoMeter) -> IoMeter:
        total = IoMeter()
        total += self
        total += other
        return total

    def __iadd__(self, other: IoMeter) -> Self:
        for name, number in other.counts().items():
            setattr(self, name, getattr(self, name) + number)
        for name, reads in other.files.items():
            self.files[name] = self.files.get(name, FileReads()) + reads
        return self

    def counts(self) -> dict[str, float]:
        """Every number of the meter by its name, without the files."""
        return {
            each.name: getattr(self, each.name) for each in fields(self) if each.name != "files"
        }

    def count_read(self, url: Url, size: int, *, requests: int, began: float) -> None:
        """Record ``size`` bytes of a file that were read in ``requests`` requests since a time."""
        name, seconds = url.name, time.perf_counter() - began
        with _LOCK:
            self.read_seconds += seconds
            self.bytes_read += size
            self.read_requests += requests
            if name in self.files or facts_of_name(name).codec:
                before = self.files.get(name, FileReads(1))
                self.files[name] = FileReads(before.reads, before.n_bytes + size)

    def count_write(self, size: int, *, requests: int, began: float) -> None:
        """Record ``size`` bytes that were written in ``requests`` requests since a time."""
        seconds = time.perf_counter() - began
        with _LOCK:
            self.write_seconds += seconds
            self.bytes_written += size
            self.write_requests += requests


_METER: ContextVar[IoMeter | None] = ContextVar("strata_io_meter", default=None)
# Parts are counted by the threads that move them. Reentrant: a finalizer that drops an output may
# run, and count, while its thread holds the lock.
_LOCK = threading.RLock()


def _renew_lock() -> None:
    # A thread that held the lock when the process forked does not exist in the child to release it.
    global _LOCK
    _LOCK = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def counting(meter: IoMeter | None) -> Iterator[None]:
    """Count the requests of the block into ``meter``, and those of the threads that work for it."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def current_meter() -> IoMeter | None:
    """The meter of the innermost :func:`counting` block."""
    return _METER.get()


def record(event: Event, number: int = 1) -> None:
    """Count an event into the meter of the caller, if there is one."""
    meter = _METER.get()
    if meter is not None:
        with _LOCK:
            setattr(meter, event.value, getattr(meter, event.value) + number)


def _calls(url: Url) -> int:
    # Remote requests are counted where they are sent; a call may take none, or many.
    return 1 if url.scheme == LOCAL else 0


@dataclass(frozen=True, slots=True)
class MeteredStore(Store):
    """A store that counts what passes through ``inner`` into ``meter``."""

    inner: Store
    meter: IoMeter = field(default_factory=IoMeter)

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file whose reads are counted."""
        with counting(self.meter):
            inner = self.inner.open_input(url)
        return cast("BinaryIO", _MeteredInput(inner, self.meter, url))

    def create(self, url: Url) -> Output:
        """Open an output whose writes are counted."""
        with counting(self.meter):
            return _MeteredOutput(self.inner.create(url), self.meter, _calls(url))

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        with counting(self.meter):
            return self.inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder or that match a glob."""
        with counting(self.meter):
            return self.inner.find(url)

    def delete(self, url: Url) -> None:
        """Remove one file."""
        with counting(self.meter):
            self.inner.delete(url)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file."""
        began = time.perf_counter()
        with counting(self.meter):
            parts = self.inner.read_ranges(url, ranges)
        size = sum(len(part) for part in parts)
        self.meter.count_read(url, size, requests=len(parts) * _calls(url), began=began)
        return parts

    def read_tail(self, url: Url, count: int) -> tuple[FileInfo, bytes]:
        """Size and identity of one file, and its last bytes."""
        began = time.perf_counter()
        with counting(self.meter):
            info, data = self.inner.read_tail(url, count)
        self.meter.count_read(url, len(data), requests=_calls(url), began=began)
        return info, data

    def pinned(self, info: FileInfo) -> Store:
        """The same store and meter, for reading one version of a file."""
        return replace(self, inner=self.inner.pinned(info))


class _MeteredInput(io.BufferedIOBase):
    def __init__(self, inner: BinaryIO, meter: IoMeter, url: Url) -> None:
        self._inner = inner
        self._meter = meter
        self._url = url
        self._requests = _calls(url)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        began = time.perf_counter()
        with counting(self._meter):
            data = self._inner.read(-1 if size is None else size)
        self._meter.count_read(self._url, len(data), requests=self._requests, began=began)
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def readinto(self, buffer: WriteableBuffer) -> int:
        began = time.perf_counter()
        with counting(self._meter):
            count: int = cast("Any", self._inner).readinto(buffer)
        self._meter.count_read(self._url, count, requests=self._requests, began=began)
        return count

    def readline(self, size: int | None = -1) -> bytes:
        began = time.perf_counter()
        with counting(self._meter):
            line = self._inner.readline(-1 if size is None else size)
        self._meter.count_read(self._url, len(line), requests=0, began=began)
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()


class _MeteredOutput(Output):
    def __init__(self, inner: Output, meter: IoMeter, requests: int) -> None:
        self._inner = inner
        self._meter = meter
        self._requests = requests

    @property
    def sends_behind(self) -> bool:
        return self._inner.sends_behind

    def write(self, data: ReadableBuffer) -> int:
        began = time.perf_counter()
        with counting(self._meter):
            count = self._inner.write(data)
        self._meter.count_write(count, requests=self._requests, began=began)
        return count

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        began = time.perf_counter()
        with counting(self._meter):
            self._inner.close()
        self._meter.count_write(0, requests=0, began=began)
        super().close()

    def discard(self) -> None:
        if not self.closed:
            with counting(self._meter):
                self._inner.discard()
            super().close()
