"""A store that transfers bytes in parallel and retries transient failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, cast

from strata.errors import TransientError
from strata.storage.contracts.faults import BrokenReadError
from strata.storage.contracts.store import ByteRange, FileInfo, Output, PartUpload, Store
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.transfer.pool import Role, submit
from strata.storage.transfer.reading import RangedInput, RangePlan
from strata.storage.transfer.retry import RetryBudget, retried
from strata.storage.transfer.writing import PartedOutput, SpooledOutput

__all__ = ["TransferStore"]

# How far a reader will go is not known here: fetching further ahead might be wasted.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class TransferStore(Store):
    """Parallel ranges, parts and retries over a store where each call is one attempt.

    Local files go straight to ``inner``.
    """

    inner: Store
    policy: TransferPolicy = field(default_factory=TransferPolicy)

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file whose parts are fetched ahead of a sequential reader."""
        if url.scheme == LOCAL:
            return self.inner.open_input(url)
        info = self.info(url)
        plan = RangePlan(self.policy.part_bytes, _AHEAD, self.policy.window)
        return cast("BinaryIO", RangedInput(self.pinned(info), info, plan))

    def create(self, url: Url) -> Output:
        """Open a file for writing; several parts are sent at a time where the store supports it."""
        if url.scheme == LOCAL:
            return self.inner.create(url)
        upload = self.inner.upload(url)
        if upload is None:
            return SpooledOutput(self.inner, url, self.policy)
        return PartedOutput(upload, self.policy)

    def upload(self, url: Url) -> PartUpload | None:
        """An upload in parts, on stores that know them."""
        return self.inner.upload(url)

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        return retried(self.policy, partial(self.inner.info, url))

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder or that match a glob."""
        return retried(self.policy, partial(self.inner.find, url))

    def delete(self, url: Url) -> None:
        """Remove one file."""
        retried(self.policy, partial(self.inner.delete, url))

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read ranges of a file, several at a time."""
        if url.scheme == LOCAL:
            return self.inner.read_ranges(url, ranges)
        if len(ranges) == 1:
            return [self._read_range(url, ranges[0])]
        coming = [
            submit(Role.REQUEST, self.policy.window, self._read_range, url, span) for span in ranges
        ]
        try:
            return [each.result() for each in coming]
        finally:
            for each in coming:
                each.cancel()

    def read_tail(self, url: Url, count: int) -> tuple[FileInfo, bytes]:
        """Size and identity of one file, and its last bytes."""
        if url.scheme == LOCAL:
            return self.inner.read_tail(url, count)
        return retried(self.policy, partial(self.inner.read_tail, url, count))

    def read_bytes(self, url: Url) -> bytes:
        """The content of a file, whose parts are fetched in parallel."""
        if url.scheme == LOCAL:
            return self.inner.read_bytes(url)
        info = self.info(url)
        starts = range(0, info.size, self.policy.part_bytes)
        spans = [ByteRange(at, min(at + self.policy.part_bytes, info.size)) for at in starts]
        return b"".join(self.pinned(info).read_ranges(url, spans))

    def pinned(self, info: FileInfo) -> TransferStore:
        """The same store for reading one version of a file."""
        return replace(self, inner=self.inner.pinned(info))

    def _read_range(self, url: Url, span: ByteRange) -> bytes:
        budget, pieces, at = RetryBudget(self.policy), [], span.start
        while True:
            try:
                (data,) = self.inner.read_ranges(url, [ByteRange(at, span.end)])
            except BrokenReadError as error:
                # The bytes that arrived are kept, and the next attempt requests only the rest.
                pieces.append(error.data)
                at += len(error.data)
                budget.reset()
                budget.after(error)
            except TransientError as error:
                budget.after(error)
            else:
                return b"".join((*pieces, data)) if pieces else data
