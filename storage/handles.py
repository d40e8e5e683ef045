"""Open files: inputs that tell errors in Strata's words, outputs that appear whole or never."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from fsspec import AbstractFileSystem

from strata.errors import StrataError
from strata.storage.contract import Output
from strata.storage.faults import translated
from strata.storage.url import Url

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["GuardedInput", "LocalOutput", "ObjectOutput", "RenamedOutput", "staging_name"]

_WRITE_BUFFER = 1 << 20


def staging_name(name: str) -> str:
    """A hidden name beside ``name`` that no listing takes for data."""
    return f".{name}.{uuid4().hex}.tmp"


class GuardedInput(io.BufferedIOBase):
    """A handle of fsspec whose errors name the URL."""

    def __init__(self, url: Url, inner: BinaryIO) -> None:
        self._url = url
        self._inner = inner

    def readable(self) -> bool:
        """True: this is an input."""
        return True

    def seekable(self) -> bool:
        """True: every store opens seekable inputs."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes, or to the end."""
        with translated(self._url, "read"):
            data: bytes = self._inner.read(-1 if size is None else size)
        return data

    def read1(self, size: int = -1) -> bytes:
        """Same as ``read``: the buffer is the store's own."""
        return self.read(size)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` as far as the file goes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """Read to the next newline."""
        with translated(self._url, "read"):
            line: bytes = self._inner.readline()
        if size is not None and 0 <= size < len(line):
            self._inner.seek(size - len(line), os.SEEK_CUR)
            return line[:size]
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte offset."""
        return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        """Byte offset of the next read."""
        return int(self._inner.tell())

    def close(self) -> None:
        """Give the connection back."""
        if not self.closed:
            self._inner.close()
        super().close()


class _Staged(Output):
    """An output over a handle, that finishes once: either published or dropped."""

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
            with translated(self._url, "write"):
                self._publish()
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if getattr(self, "_open", False):
            self._open = False
            # A server that is gone cannot drop it: gc does, and the first error is the one to tell.
            with suppress(StrataError), translated(self._url, "discard"):
                self._drop()
            super().close()

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
        os.makedirs(folder, exist_ok=True)
        self._staging = os.path.join(folder, staging_name(url.name))
        super().__init__(url, open(self._staging, "wb", buffering=_WRITE_BUFFER))  # noqa: SIM115

    def _publish(self) -> None:
        self._inner.close()
        os.replace(self._staging, self._url.path)

    def _drop(self) -> None:
        # On a full disk the last bytes cannot be written, which must not hide why they are dropped.
        with suppress(OSError):
            self._inner.close()
        os.unlink(self._staging)


class ObjectOutput(_Staged):
    """An object of a store that shows it only when its upload completes."""

    def __init__(self, url: Url, filesystem: AbstractFileSystem) -> None:
        super().__init__(url, filesystem.open(url.path, "wb"))

    def _publish(self) -> None:
        self._inner.close()

    def _drop(self) -> None:
        handle: Any = self._inner
        handle.discard()
        # fsspec's own finaliser would otherwise flush the rest as a complete object.
        handle.closed = True


class RenamedOutput(_Staged):
    """A file of any other filesystem, written beside its target and moved onto it."""

    def __init__(self, url: Url, filesystem: AbstractFileSystem) -> None:
        self._filesystem = filesystem
        self._staging = url.parent / staging_name(url.name)
        filesystem.makedirs(url.parent.path, exist_ok=True)
        super().__init__(url, filesystem.open(self._staging.path, "wb"))

    def _publish(self) -> None:
        self._inner.close()
        staged, target = self._staging.path, self._url.path
        if hasattr(self._filesystem, "replace"):
            self._filesystem.replace(staged, target)
            return
        if self._filesystem.exists(target):
            # Others refuse to rename onto a file, some of them without saying so.
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
    # fsspec's general way would take brackets in a name for a glob.
    filesystem.cp_file(source, target)
    filesystem.rm_file(source)
