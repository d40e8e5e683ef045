"""Files that grow by appended lines: proof that what was read is unchanged, and where to read on.

While a task reads a range of a plain file of JSON lines, the bytes of the range go through a
digest. Ranges and digests are stored in the column `identity` of the input manifest, behind the
ETag or time of change. A file that has grown is compared with them, range by range, before its new
lines are read as an input of its own: with a new ordinal, so that new documents have higher ids
than all old ones, and with positions that still count from the beginning of the file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from strata.pipelines.readers.compression import MAGIC_BYTES, Compression
from strata.pipelines.readers.formats import FORMATS, Cut
from strata.pipelines.readers.listing import FoundInput
from strata.pipelines.readers.split import InputFile, Split
from strata.pipelines.tables.inputs import KnownInput
from strata.storage.contracts.store import ByteRange, FileInfo, Output, Store
from strata.storage.contracts.url import Url

__all__ = ["NO_GROWTH", "DigestingStore", "Growth", "find_growth", "grows", "with_digests"]

MARK = " read:"
DIGEST_BYTES = 16
READ_BYTES = 4 << 20
RANGES_AT_ONCE = 8

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Growth:
    """Known files that have changed.

    Attributes:
        starts: of files that have only grown, the offset from which they are to be read, by URL.
        reasons: of the others, why they cannot be continued, in parentheses, by URL.
    """

    starts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


NO_GROWTH = Growth()


def grows(file: InputFile | FoundInput) -> bool:
    """Whether the new lines of such a file can be read on their own."""
    return FORMATS[file.format].cut is Cut.BYTES and file.compression is Compression.NONE


def with_digests(identity: str, digests: Mapping[Span, str]) -> str:
    """An identity, followed by the ranges that were read and their digests."""
    if not digests:
        return identity
    parts = (f"{start}-{end}:{digest}" for (start, end), digest in sorted(digests.items()))
    return identity + MARK + ",".join(parts)


def _digests(identity: str) -> dict[Span, str]:
    found: dict[Span, str] = {}
    for part in filter(None, identity.partition(MARK)[2].split(",")):
        span, _, digest = part.partition(":")
        start, _, end = span.partition("-")
        found[int(start), int(end)] = digest
    return found


@dataclass(slots=True)
class DigestingStore(Store):
    """Opens the file of one split: up to the size that it was listed with, through a digest.

    What is appended while a task reads is no part of the split, not even the end of its last line.
    """

    inner: Store
    split: Split
    _seen: int = 0
    _hash: hashlib.blake2b = field(
        default_factory=lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)
    )

    @property
    def digests(self) -> dict[Span, str]:
        """The range of the split and its digest; empty where it was not read as a whole."""
        span = (self.split.start, self.split.end)
        return {span: self._hash.hexdigest()} if self._seen == span[1] - span[0] else {}

    def take(self, place: int, data: bytes) -> None:
        """Digest what is new of the split in ``data``, which lies at ``place`` in the file."""
        wanted = self.split.start + self._seen
        if place <= wanted < place + len(data):
            part = memoryview(data)[wanted - place : self.split.end - place]
            self._hash.update(part)
            self._seen += len(part)

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file whose bytes are digested."""
        return cast("BinaryIO", _DigestedInput(self.inner.open_input(url), self))

    def create(self, url: Url) -> Output:
        """As the inner store."""
        return self.inner.create(url)

    def info(self, url: Url) -> FileInfo:
        """As the inner store."""
        return self.inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        """As the inner store."""
        return self.inner.find(url)

    def delete(self, url: Url) -> None:
        """As the inner store."""
        self.inner.delete(url)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """As the inner store."""
        return self.inner.read_ranges(url, ranges)


class _DigestedInput(io.BufferedIOBase):
    def __init__(self, inner: BinaryIO, owner: DigestingStore) -> None:
        self._inner = inner
        self._owner = owner
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._owner.split.file.size - self._place)
        data = self._inner.read(left if size is None or size < 0 else min(size, left))
        self._owner.take(self._place, data)
        self._place += len(data)
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = self._inner.seek(offset, whence)
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        self._inner.close()
        super().close()


class _NotGrownError(Exception):
    """Why a file cannot be continued."""


def find_growth(store: Store, found: Sequence[FoundInput], known: Sequence[KnownInput]) -> Growth:
    """Compare the known files that have changed with what was read of them.

    Args:
        store: reads the files.
        found: the files that the inputs have now.
        known: the input manifest, in ordinal order; a file that grew has several entries.
    """
    entries: dict[str, list[KnownInput]] = {}
    for entry in known:
        entries.setdefault(entry.uri, []).append(entry)
    growth: tuple[dict[str, int], dict[str, str]] = {}, {}
    for file in found:
        mine = entries.get(file.uri)
        if mine and mine[-1].cause != file.cause:
            try:
                growth[0][file.uri] = _resume_at(store, file, mine)
            except _NotGrownError as reason:
                growth[1][file.uri] = f" ({reason})"
    gone = entries.keys() - {file.uri for file in found}
    return Growth(growth[0], growth[1] | dict.fromkeys(gone, " (it is gone)"))


def _resume_at(store: Store, file: FoundInput, entries: Sequence[KnownInput]) -> int:
    if not grows(file):
        raise _NotGrownError("only plain JSON lines can be read on")
    old = entries[-1]
    identity = old.identity.partition(MARK)[0]
    if replace(file, size=old.size, identity=identity).cause != old.cause:
        raise _NotGrownError("it was read with another source, format or field mapping")
    if file.size < old.size:
        raise _NotGrownError(f"it has {file.size:,} bytes, and had {old.size:,}")
    digests: dict[Span, str] = {}
    for entry in entries:
        digests |= _digests(entry.identity)
    if not _covers(digests, old.size):
        raise _NotGrownError(
            "no digest of what was read of it is stored, since it was broken or an earlier "
            "version read it; a rebuild stores one"
        )
    with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
        now = list(pool.map(lambda span: _digest(store, file.url, span), digests))
    if now != list(digests.values()):
        raise _NotGrownError(f"its first {old.size:,} bytes are not what they were")
    (head,) = store.read_ranges(file.url, [ByteRange(0, min(MAGIC_BYTES, file.size))])
    if Compression.of_bytes(head) is not Compression.NONE:
        raise _NotGrownError("it is compressed, whatever its name says")
    return _line_start(store, file, old.size)


def _covers(digests: Mapping[Span, str], size: int) -> bool:
    reached = -1 if not digests else 0
    for start, end in sorted(digests):
        if start > reached:
            return False
        reached = max(reached, end)
    return reached == size


def _digest(store: Store, url: Url, span: Span) -> str:
    start, end = span
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with store.open_input(url) as handle:
        handle.seek(start)
        while start < end and (data := handle.read(min(READ_BYTES, end - start))):
            digest.update(data)
            start += len(data)
    return digest.hexdigest()


def _line_start(store: Store, file: FoundInput, old_size: int) -> int:
    """Where to read on: at the old end, or at the beginning of a line that was not complete.

    Such a line was a reject when it was read; now it can be whole. A line that was a record
    already cannot go on: JSON does not.
    """
    if old_size in (0, file.size) or not _continues(store, file, old_size):
        return old_size
    start, tail = old_size, b""
    for data in _backwards(store, file.url, old_size):
        tail = data + tail
        if (place := data.rfind(b"\n")) >= 0:
            tail = tail[place + 1 :]
            break
    start = old_size - len(tail)
    try:
        json.loads(tail)
    except ValueError:
        return start
    raise _NotGrownError(
        f"the record at byte {start:,}, which was read already, goes on behind its end"
    )


def _continues(store: Store, file: FoundInput, old_size: int) -> bool:
    """Whether the line that ended with the old size without a newline has more characters now."""
    with store.open_input(file.url) as handle:
        handle.seek(old_size - 1)
        if handle.read(1) == b"\n":
            return False
        while data := handle.read(READ_BYTES):
            line, newline, _ = data.partition(b"\n")
            if line.strip():
                return True
            if newline:
                return False
    return False


def _backwards(store: Store, url: Url, end: int) -> Iterator[bytes]:
    while end:
        start = max(0, end - READ_BYTES)
        yield store.read_ranges(url, [ByteRange(start, end)])[0]
        end = start
