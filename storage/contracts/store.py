"""The contract of a store: the one way to access files, whatever filesystem they are on."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from strata.errors import InputMissingError
from strata.storage.contracts.close_or_discard import CloseOrDiscard
from strata.storage.contracts.url import Url

if TYPE_CHECKING:
    pass

__all__ = ["ByteRange", "FileInfo", "FileKind", "Output", "PartUpload", "Store"]


class FileKind(StrEnum):
    """What a listing finds in a folder besides folders; all but files are on local disks only."""

    FILE = "file"
    """A file, or a link to one."""
    DANGLING_LINK = "dangling_link"
    LINKED_FOLDER = "linked_folder"
    SPECIAL_FILE = "special_file"
    """A pipe, socket or device."""


@dataclass(frozen=True, slots=True, order=True)
class FileInfo:
    """What a listing reports about a file.

    Attributes:
        url: where it is.
        size: bytes.
        identity: changes whenever the content does: the ETag, else the modification time in
            nanoseconds, as text; empty where the store reports neither.
        modified_ns: modification time, nanoseconds since 1970, UTC; None where the store reports
            none.
        kind: whether it is a file at all.
    """

    url: Url
    size: int
    identity: str
    modified_ns: int | None = field(default=None, compare=False)
    kind: FileKind = field(default=FileKind.FILE, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes ``start`` up to, not including, ``end``."""

    start: int
    end: int


class Output(CloseOrDiscard, io.BufferedIOBase):
    """A file being written: it appears when closed, and never when discarded or abandoned."""

    @property
    def sends_behind(self) -> bool:
        """Whether bytes are sent while the caller continues."""
        return False

    @abstractmethod
    def discard(self) -> None:
        """Drop what was written; the target keeps its former content, if any."""

    def writable(self) -> bool:
        """True: this is an output."""
        return True

    def __del__(self) -> None:
        # io.IOBase would close here, and so publish half a file.
        self.discard()


class PartUpload(ABC):
    """An object that is written in parts; each call may be repeated without harm.

    The object appears with ``put`` or ``complete``, and never otherwise.
    """

    @abstractmethod
    def put(self, data: bytes | bytearray) -> None:
        """Write the whole object at once."""

    @abstractmethod
    def begin(self) -> None:
        """Start an upload in parts."""

    @abstractmethod
    def send(self, number: int, data: bytes | bytearray) -> str:
        """Write part ``number``, counted from 1, and return the tag that ``complete`` needs."""

    @abstractmethod
    def complete(self, tags: Sequence[str]) -> None:
        """Assemble the object from its parts, given their tags in order."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the parts."""


class Store(ABC):
    """Files by URL. Instances are picklable and hold no open connection.

    Every method raises ``InputMissingError`` for a missing file, ``MachineError`` for missing
    permission or space and ``TransientError`` for what a retry may fix, naming the URL.
    """

    @abstractmethod
    def open_input(self, url: Url) -> BinaryIO:
        """Open a file for reading; the handle is seekable."""

    @abstractmethod
    def create(self, url: Url) -> Output:
        """Open a file for writing, making its parent folders; it replaces one of the same name."""

    @abstractmethod
    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file."""

    @abstractmethod
    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder, or that match a glob, or the file itself; sorted by URL.

        The list is empty where nothing is there.
        """

    @abstractmethod
    def delete(self, url: Url) -> None:
        """Remove one file; a missing file is not an error."""

    @abstractmethod
    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file, with several requests in flight where that helps."""

    def read_tail(self, url: Url, count: int) -> tuple[FileInfo, bytes]:
        """Size and identity of one file, and its last ``count`` bytes, or all that it has.

        Reading a footer begins with it; it is one request on stores that support that.
        """
        info = self.info(url)
        span = ByteRange(max(0, info.size - count), info.size)
        return info, self.pinned(info).read_ranges(url, [span])[0]

    def upload(self, url: Url) -> PartUpload | None:  # noqa: ARG002 (for stores that have parts)
        """An upload in parts, on stores that support them."""
        return None

    def pinned(self, info: FileInfo) -> Store:  # noqa: ARG002 (for stores that pin)
        """The store for reading the one version of a file that ``info`` describes.

        Stores that can detect it raise ``ConflictError`` when the file was replaced meanwhile.
        """
        return self

    def exists(self, url: Url) -> bool:
        """Whether the file exists."""
        try:
            self.info(url)
        except InputMissingError:
            return False
        return True

    def read_bytes(self, url: Url) -> bytes:
        """The content of a file."""
        with self.open_input(url) as file:
            return file.read()

    def write_bytes(self, url: Url, data: bytes) -> None:
        """Replace the content of a file in one step."""
        with self.create(url) as file:
            file.write(data)
