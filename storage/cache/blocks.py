"""Blocks of files on a local disk: bounded in bytes, shared by processes, safe against crashes.

A block is a file of its own with a header that holds its length and checksum, and it appears by a
rename, so a process may die at any moment. Its modification time is when it was last used. The
state file holds the total size of all blocks in bytes, and its lock is held while a block is added
or some are removed; the total is recounted from time to time, which corrects it after a crash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.store import FileInfo

__all__ = ["BlockCache", "CacheUsage", "DamagedBlockError", "file_key"]

_VERSION = "v1"
_HEADER = struct.Struct("<8sQII")
_MAGIC = b"strata-1"
_STATE = struct.Struct("<QdI")
_CHECKSUM = struct.Struct("<I")
_BLOCK, _PENDING = ".block", ".pending"
# A count that is older than this is no longer trusted.
_COUNT_SECONDS = 600.0
# Evicting a little more than is needed admits the next blocks without another look at all of them.
_LEFT_AFTER_EVICTION = 0.95


class DamagedBlockError(OSError):
    """A block does not hold the bytes that were put into it."""


@dataclass(frozen=True, slots=True)
class _State:
    """Bytes of all blocks, and when they were last counted, in seconds since 1970."""

    n_bytes: int
    counted: float


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """What a cache holds: blocks, and bytes on the disk."""

    blocks: int
    n_bytes: int


def file_key(info: FileInfo, block_bytes: int) -> str:
    """The key of one version of a file at one block size."""
    facts = f"{info.url}\n{info.size}\n{info.identity}\n{block_bytes}"
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class BlockCache:
    """The blocks in the folder of ``options``. Every method may raise ``OSError``."""

    options: CacheOptions

    def get(self, key: str, number: int) -> memoryview | None:
        """A block, or None where it is not kept.

        Raises:
            DamagedBlockError: the block is not what was put there; it is removed.
        """
        path = self._path(key, number)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            return None
        block = _checked(data)
        if block is None:
            with suppress(OSError):
                os.unlink(path)
            raise DamagedBlockError(path)
        # A read-only cache still serves reads; only the time of last use is not updated.
        with suppress(OSError):
            os.utime(path)
        return block

    def put(self, key: str, number: int, block: memoryview) -> None:
        """Keep a block; the least recently used ones are evicted to make room."""
        path = self._path(key, number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pending = os.path.join(self._root, f"{os.getpid()}-{uuid4().hex}{_PENDING}")
        size = _HEADER.size + len(block)
        try:
            with open(pending, "wb", buffering=0) as file:
                file.write(_HEADER.pack(_MAGIC, len(block), zlib.crc32(block), 0))
                file.write(block)
                if file.tell() != size:
                    raise OSError(f"{pending} was not written whole")
            with self._locked() as state:
                self._admit(state, path, pending, size)
        finally:
            with suppress(OSError):
                os.unlink(pending)

    def clear(self) -> CacheUsage:
        """Remove all blocks, and return what was there."""
        usage = self.usage()
        if os.path.isdir(self._root):
            with self._locked() as state:
                for entry in os.scandir(self._root):
                    if entry.is_dir():
                        shutil.rmtree(entry.path)
                _write_state(state, _State(0, time.time()))
        return usage

    def usage(self) -> CacheUsage:
        """Count what is kept."""
        sizes = [size for _, size, _ in self._blocks()]
        return CacheUsage(len(sizes), sum(sizes))

    @property
    def _root(self) -> str:
        return os.path.join(self.options.folder, _VERSION)

    def _path(self, key: str, number: int) -> str:
        return os.path.join(self._root, key[:2], f"{key}-{number}{_BLOCK}")

    def _admit(self, state: int, path: str, pending: str, size: int) -> None:
        if os.path.exists(path):
            os.replace(pending, path)
            return
        known = _read_state(state)
        if known is None or known.n_bytes + size > self.options.capacity_bytes:
            known = self._evict(size)
        # Counted first: a process that dies in between leaves too large a total, which is harmless.
        _write_state(state, _State(known.n_bytes + size, known.counted))
        os.replace(pending, path)

    def _evict(self, needed: int) -> _State:
        self._remove_leftovers()
        blocks = sorted(self._blocks())
        total = sum(size for _, size, _ in blocks)
        aim = self.options.capacity_bytes - needed
        if total > aim:
            aim = round(self.options.capacity_bytes * _LEFT_AFTER_EVICTION) - needed
        for _, size, path in blocks:
            if total <= aim:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
        return _State(total, time.time())

    def _blocks(self) -> Iterator[tuple[int, int, str]]:
        """Last use, size and path of each block."""
        with suppress(FileNotFoundError):
            for folder in os.scandir(self._root):
                if folder.is_dir():
                    for entry in os.scandir(folder.path):
                        with suppress(FileNotFoundError):
                            facts = entry.stat()
                            yield facts.st_mtime_ns, facts.st_size, entry.path

    def _remove_leftovers(self) -> None:
        for entry in os.scandir(self._root):
            if entry.name.endswith(_PENDING) and not _is_alive(entry.name.partition("-")[0]):
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        state = os.open(os.path.join(self._root, "state"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # The kernel drops the lock of a process that ends.
            fcntl.flock(state, fcntl.LOCK_EX)
            yield state
        finally:
            os.close(state)


def _checked(data: bytes) -> memoryview | None:
    if len(data) < _HEADER.size:
        return None
    magic, length, checksum, _ = _HEADER.unpack_from(data)
    block = memoryview(data)[_HEADER.size :]
    if magic != _MAGIC or len(block) != length or zlib.crc32(block) != checksum:
        return None
    return block


def _read_state(state: int) -> _State | None:
    data = os.pread(state, _STATE.size, 0)
    if len(data) != _STATE.size:
        return None
    n_bytes, counted, checksum = _STATE.unpack(data)
    recent = 0 <= time.time() - counted < _COUNT_SECONDS
    intact = checksum == zlib.crc32(data[: -_CHECKSUM.size])
    return _State(n_bytes, counted) if intact and recent else None


def _write_state(state: int, known: _State) -> None:
    data = _STATE.pack(known.n_bytes, known.counted, 0)[: -_CHECKSUM.size]
    os.pwrite(state, data + _CHECKSUM.pack(zlib.crc32(data)), 0)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
