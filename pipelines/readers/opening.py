"""The beginning of a file: how it is compressed, and whether it is an input at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.content import HEAD_BYTES, foreign_content, is_plain
from strata.pipelines.readers.decompress import READ_BYTES, plain_chunks, raw_chunks
from strata.pipelines.readers.records import reject
from strata.pipelines.readers.rejects import BrokenFile, RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["Opened", "open_plain"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is read from its beginning.

    Attributes:
        head: its first bytes, decompressed: HEAD_BYTES, unless it is shorter.
        compression: by its bytes, whatever its name says.
        chunks: its content, the head included.
    """

    head: bytes
    compression: Compression
    chunks: Iterator[bytes]


def open_plain(handle: BinaryIO, file: InputFile, most: int = READ_BYTES) -> Opened:
    """Look at the first bytes of a file, and decompress it if they say so.

    Args:
        handle: the file, at its beginning.
        file: what the listing found.
        most: the most bytes that are read before more are asked for.

    Raises:
        BrokenFile: the file is something else, such as a pointer, an error page or an archive.
        DamagedStream: it is truncated or corrupt.
    """
    chunks = raw_chunks(handle, most)
    head = _beginning(chunks)
    compression = _compression(head, file)
    if compression is not Compression.NONE:
        chunks = plain_chunks(chain([head], chunks), compression)
        head = _beginning(chunks)
        if again := Compression.of_bytes(head):
            raise _wrong(file, f"compressed twice, the second time with {again.name.lower()}")
    _refuse_foreign(head, file)
    return Opened(head, compression, chain([head], chunks))


def _compression(head: bytes, file: InputFile) -> Compression:
    found = Compression.of_bytes(head)
    if found is not Compression.NONE or file.compression is Compression.NONE:
        return found
    _refuse_foreign(head, file, file.compression.name.lower())
    # Some clients decompress what they fetch, and keep its name.
    return Compression.NONE if is_plain(head, file.format) else file.compression


def _refuse_foreign(head: bytes, file: InputFile, wanted: str = "") -> None:
    if found := foreign_content(head, file.format, wanted):
        raise _wrong(file, found)


def _wrong(file: InputFile, what: str) -> BrokenFile:
    return BrokenFile(reject(file, 0, RejectReason.WRONG_CONTENT, what))


def _beginning(chunks: Iterator[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= HEAD_BYTES:
            break
    return b"".join(parts)
