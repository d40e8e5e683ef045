"""Outputs that appear complete or not at all, over the handles of a filesystem."""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from fsspec import AbstractFileSystem

from strata.errors import StrataError
from strata.storage.contracts.faults import translated
from strata.storage.contracts.store import Output
from strata.storage.contracts.url import Url
from strata.storage.stores.syncing import make_folder, sync_file, sync_folder

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LocalOutput", "ObjectOutput", "RenamedOutput", "SyncedOutput", "staging_name"]

_WRITE_BUFFER = 1 << 20


def staging_name(name: str) -> str:
    """A hidden name beside ``name`` that no listing takes for data."""
    return f".{name}.{uuid4().hex}.tmp"


class _Staged(Output):
    """An output over a handle that finishes once: it is either published or dropped."""

    def __init__(self, url: Url, inner: BinaryIO) -> None:
        self._url = url
        self._inner = inner
        self._open = True
        self._written = 0

    def write(self, data: ReadableBuffer) -> int:
        """Append bytes."""
        with translated(self._url, "write"):
            self._inner.write(data)
        size = memoryview(data).nbytes
        self._written += size
        return size

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written

    def close(self) -> None:
        """Publish the file under its name."""
        if self._open:
            self._open = False
            try:
                with translated(self._url, "write"):
                    self._publish()
            except BaseException:
                self._drop_quietly()
                raise
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if getattr(self, "_open", False):
            self._open = False
            self._drop_quietly()
            super().close()

    def _drop_quietly(self) -> None:
        # A server that is gone cannot drop it: gc will, and the first error is the one to report.
        with suppress(StrataError), translated(self._url, "discard"):
            self._drop()

    @abstractmethod
    def _publish(self) -> None:
        """Give the staged bytes their name."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove the staged bytes."""


class LocalOutput(_Staged):
    """A local file, written beside its target and renamed onto it."""

    def __init__(self, url: Url) -> None:
        folder = url.parent.path
        self._make_folder(folder)
        self._staging = os.path.join(folder, staging_name(url.name))
        super().__init__(url, open(self._staging, "wb", buffering=_WRITE_BUFFER))  # noqa: SIM115

    def _make_folder(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)

    def _publish(self) -> None:
        self._inner.close()
        os.replace(self._staging, self._url.path)

    def _drop(self) -> None:
        # On a full disk the last flush fails, which must not hide why the file is dropped.
        with suppress(OSError):
            self._inner.close()
        os.unlink(self._staging)


class SyncedOutput(LocalOutput):
    """A local file that survives a power cut, whole and under its name, once it is closed."""

    def _make_folder(self, folder: str) -> None:
        make_folder(folder)

    def _publish(self) -> None:
        self._inner.flush()
        sync_file(self._inner.fileno())
        super()._publish()
        sync_folder(self._url.parent.path)


class ObjectOutput(_Staged):
    """An object of a store where it becomes visible only when its upload completes."""

    def __init__(self, url: Url, filesystem: AbstractFileSystem, extra: Mapping[str, Any]) -> None:
        super().__init__(url, filesystem.open(url.path, "wb", **extra))

    def _publish(self) -> None:
        self._inner.close()

    def _drop(self) -> None:
        handle: Any = self._inner
        try:
            handle.discard()
        finally:
            # fsspec's own finalizer would otherwise flush the rest as a complete object.
            handle.closed = True


class RenamedOutput(_Staged):
    """A file of any other filesystem, written beside its target and moved onto it."""

    def __init__(self, url: Url, filesystem: AbstractFileSystem, extra: Mapping[str, Any]) -> None:
        self._filesystem = filesystem
        self._staging = url.parent / staging_name(url.name)
        filesystem.makedirs(url.parent.path, exist_ok=True)
        super().__init__(url, filesystem.open(self._staging.path, "wb", **extra))

    def _publish(self) -> None:
        self._inner.close()
        staged, target = self._staging.path, self._url.path
        kept = self._filesystem.info(staged)["size"]
        if kept != self._written:
            # An HDFS data node over its quota accepts bytes, reports success and keeps nothing.
            raise OSError(errno.ENOSPC, f"{self._written} bytes were taken and {kept} are there")
        if hasattr(self._filesystem, "replace"):
            self._filesystem.replace(staged, target)
            return
        if self._filesystem.exists(target):
            # Others refuse to rename onto an existing file, some of them silently.
            self._filesystem.rm_file(target)
        _move(self._filesystem, staged, target)

    def _drop(self) -> None:
        with suppress(OSError):
            self._inner.close()
        self._filesystem.rm_file(self._staging.path)


def _move(filesystem: AbstractFileSystem, source: str, target: str) -> None:
    if type(filesystem).mv is not AbstractFileSystem.mv:
        filesystem.mv(source, target)
        return
    # fsspec's generic method would take brackets in a name for a glob.
    filesystem.cp_file(source, target)
    filesystem.rm_file(source)
