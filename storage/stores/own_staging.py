"""A store that leaves the staged files of other attempts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from strata.errors import ConflictError
from strata.storage.contracts.store import ByteRange, FileInfo, Output, Store
from strata.storage.contracts.url import Url

__all__ = ["OwnStagingStore"]


@dataclass(frozen=True)
class OwnStagingStore(Store):
    """Passes everything on to ``inner``, except what concerns files that another attempt staged.

    Attributes:
        inner: the store.
        own: folder of the files that this attempt stages; those of others lie beside it.
    """

    inner: Store
    own: Url

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file."""
        return self.inner.open_input(self._checked(url))

    def create(self, url: Url) -> Output:
        """Open an output."""
        return self.inner.create(self._checked(url))

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""
        return self.inner.info(self._checked(url))

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder or that match a glob."""
        return self.inner.find(self._checked(url))

    def delete(self, url: Url) -> None:
        """Remove one file."""
        self.inner.delete(self._checked(url))

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file."""
        return self.inner.read_ranges(self._checked(url), ranges)

    def read_tail(self, url: Url, count: int) -> tuple[FileInfo, bytes]:
        """Size and identity of one file, and its last bytes."""
        return self.inner.read_tail(self._checked(url), count)

    def pinned(self, info: FileInfo) -> Store:
        """The same guard, for reading one version of a file."""
        return replace(self, inner=self.inner.pinned(info))

    def _checked(self, url: Url) -> Url:
        if url.is_below(self.own.parent) and url != self.own and not url.is_below(self.own):
            raise ConflictError(
                f"{url} was staged by another run than that of {self.own.name}",
                hint="nothing was published; run the same command again, and report it if it "
                "comes back",
            )
        return url
