"""A store that keeps blocks of remote files on a local disk."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from strata.storage.cache.blocks import BlockCache, DamagedBlockError, file_key
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.store import ByteRange, FileInfo, Output, PartUpload, Store
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.transfer.metering import Event, record
from strata.storage.transfer.reading import RangedInput, RangePlan

__all__ = ["CachedStore"]

_LOG = logging.getLogger(__name__)
# Adjacent missing blocks are fetched in one request of up to this many bytes.
_REQUEST = 16 << 20
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class CachedStore(Store):
    """Reads through a cache of blocks; writes, and reads of local files, bypass it.

    A block belongs to one version of a file, identified by URL, size and identity, so a file that
    was replaced is fetched again; one without an identity is never cached. Failures of the cache
    are counted, and the bytes are read from ``inner``.

    Attributes:
        inner: the store of the files.
        options: where the blocks are.
        policy: sizes of the reads of ``inner``.
        pin: a file whose version is known already.
    """

    inner: Store
    options: CacheOptions
    policy: TransferPolicy = field(default_factory=TransferPolicy)
    pin: FileInfo | None = None

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file for reading."""
        if url.scheme == LOCAL:
            return self.inner.open_input(url)
        info = self.info(url)
        # A sequential reader fetches whole blocks, as many as fit into one request.
        block = self.options.block_bytes
        part = max(self.policy.part_bytes // block, 1) * block
        ahead = -(-self.options.prefetch * block // part)
        plan = RangePlan(part, ahead, self.policy.window)
        return cast("BinaryIO", RangedInput(self.pinned(info), info, plan))

    def create(self, url: Url) -> Output:
        """Open a file for writing."""
        return self.inner.create(url)

    def upload(self, url: Url) -> PartUpload | None:
        """An upload in parts, on stores that know them."""
        return self.inner.upload(url)

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        return self.inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder or that match a glob."""
        return self.inner.find(url)

    def delete(self, url: Url) -> None:
        """Remove one file; its blocks are never requested again, so they are evicted in time."""
        self.inner.delete(url)

    def pinned(self, info: FileInfo) -> CachedStore:
        """The same store for reading one version of a file, without a request for its version."""
        return replace(self, inner=self.inner.pinned(info), pin=info)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file, from its blocks where they are kept."""
        if url.scheme == LOCAL:
            return self.inner.read_ranges(url, ranges)
        known = self.pin if self.pin and self.pin.url == url else None
        info = known or self.inner.info(url)
        if not info.identity:
            return self.inner.read_ranges(url, ranges)
        bounded = [ByteRange(min(r.start, info.size), min(r.end, info.size)) for r in ranges]
        blocks = self._blocks(info, bounded)
        return [self._assembled(span, blocks) for span in bounded]

    def _blocks(self, info: FileInfo, ranges: Iterable[ByteRange]) -> dict[int, memoryview]:
        numbers = sorted({number for span in ranges for number in self._numbers(span)})
        key = file_key(info, self.options.block_bytes)
        found = {number: self._kept(info, key, number) for number in numbers}
        blocks = {number: block for number, block in found.items() if block is not None}
        record(Event.CACHE_HIT, len(blocks))
        record(Event.CACHE_BYTES, sum(len(block) for block in blocks.values()))
        missing = [number for number in numbers if number not in blocks]
        record(Event.CACHE_MISS, len(missing))
        if missing:
            blocks |= self._fetched(info, key, missing)
        return blocks

    def _numbers(self, span: ByteRange) -> range:
        size = self.options.block_bytes
        return range(span.start // size, -(-span.end // size) if span.end > span.start else 0)

    def _extent(self, info: FileInfo, first: int, last: int) -> ByteRange:
        size = self.options.block_bytes
        return ByteRange(first * size, min((last + 1) * size, info.size))

    def _kept(self, info: FileInfo, key: str, number: int) -> memoryview | None:
        try:
            block = BlockCache(self.options).get(key, number)
        except DamagedBlockError:
            record(Event.CACHE_FAULT)
            return None
        except OSError as error:
            self._failed(error)
            return None
        span = self._extent(info, number, number)
        return block if block is not None and len(block) == span.end - span.start else None

    def _fetched(self, info: FileInfo, key: str, missing: Sequence[int]) -> dict[int, memoryview]:
        runs = self._runs(missing)
        spans = [self._extent(info, run[0], run[-1]) for run in runs]
        parts = self.inner.pinned(info).read_ranges(info.url, spans)
        blocks: dict[int, memoryview] = {}
        size = self.options.block_bytes
        for run, span, part in zip(runs, spans, parts, strict=True):
            view = memoryview(part)
            for place, number in enumerate(run):
                blocks[number] = block = view[place * size : (place + 1) * size]
                # A store that reported a wrong size must not leave a short block behind.
                if len(part) == span.end - span.start:
                    self._keep(key, number, block)
        return blocks

    def _runs(self, numbers: Sequence[int]) -> list[list[int]]:
        most = max(_REQUEST // self.options.block_bytes, 1)
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][-1] + 1 and len(runs[-1]) < most:
                runs[-1].append(number)
            else:
                runs.append([number])
        return runs

    def _keep(self, key: str, number: int, block: memoryview) -> None:
        try:
            BlockCache(self.options).put(key, number, block)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        record(Event.CACHE_FAULT)
        if self.options.folder not in _warned:
            _warned.add(self.options.folder)
            _LOG.warning(
                "the cache in %s does not work, and is passed by: %s", self.options.folder, error
            )

    def _assembled(self, span: ByteRange, blocks: dict[int, memoryview]) -> bytes:
        size = self.options.block_bytes
        pieces = [
            blocks[number][max(span.start - number * size, 0) : span.end - number * size]
            for number in self._numbers(span)
        ]
        return b"".join(pieces)
