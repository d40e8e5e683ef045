"""A store that fails on purpose, around another one; a copy by pickle counts its calls anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from strata.errors import TransientError
from strata.storage.contracts.store import ByteRange, FileInfo, Output, Store
from strata.storage.contracts.url import Url

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["FaultyStore", "StoreFault"]


class StoreFault(StrEnum):
    """What happens to every n-th call."""

    LATENCY = "latency"
    BUSY = "busy"
    TORN_WRITE = "torn write"
    LOST_ANSWER = "lost answer"


@dataclass(frozen=True, slots=True)
class FaultyStore(Store):
    """Every ``every``-th call of ``inner`` meets the fault.

    A busy store refuses the call. A torn write takes half of a file, and then no more. A lost
    answer is an error after the file was published, or deleted. Latency is 5 ms for each call.
    """

    inner: Store
    fault: StoreFault
    every: int = 3
    calls: list[int] = field(default_factory=lambda: [0])

    def __reduce__(self) -> tuple[object, ...]:
        return (FaultyStore, (self.inner, self.fault, self.every))

    def _meets(self, *faults: StoreFault) -> bool:
        if self.fault not in faults:
            return False
        self.calls[0] += 1
        return self.calls[0] % self.every == 0

    def _enter(self, url: Url) -> None:
        if self.fault is StoreFault.LATENCY:
            time.sleep(0.005)
        elif self._meets(StoreFault.BUSY):
            raise failure(url, "503 Slow Down")

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file for reading."""
        self._enter(url)
        return self.inner.open_input(url)

    def create(self, url: Url) -> Output:
        """Open a file for writing."""
        self._enter(url)
        meets = self._meets(StoreFault.TORN_WRITE, StoreFault.LOST_ANSWER)
        return _FaultyOutput(self.inner.create(url), url, self.fault if meets else None)

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        self._enter(url)
        return self.inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder."""
        self._enter(url)
        return self.inner.find(url)

    def delete(self, url: Url) -> None:
        """Remove one file."""
        self._enter(url)
        self.inner.delete(url)
        if self._meets(StoreFault.LOST_ANSWER):
            raise failure(url, "the answer was lost")

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges."""
        self._enter(url)
        return self.inner.read_ranges(url, ranges)


class _FaultyOutput(Output):
    def __init__(self, inner: Output, url: Url, fault: StoreFault | None) -> None:
        self._inner = inner
        self._url = url
        self._fault = fault

    def write(self, data: ReadableBuffer) -> int:
        if self._fault is StoreFault.TORN_WRITE:
            view = memoryview(data).cast("B")
            self._inner.write(view[: len(view) // 2])
            raise failure(self._url, "the connection broke")
        return self._inner.write(data)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        if self.closed:
            return
        self._inner.close()
        super().close()
        if self._fault is StoreFault.LOST_ANSWER:
            raise failure(self._url, "the answer was lost")

    def discard(self) -> None:
        if not self.closed:
            self._inner.discard()
            super().close()


def failure(url: Url, words: str) -> TransientError:
    """What a store tells of a fault."""
    return TransientError(f"{url}: {words}", hint="run the same command again")
