"""Decompression as a stream that notices a truncated file."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import zstandard

from strata.pipelines.readers.split import Compression

__all__ = ["DamagedStream", "plain_chunks"]

# Small enough that a chunk of very repetitive text still expands to a bounded size.
COMPRESSED_CHUNK = 256 << 10
PLAIN_CHUNK = 4 << 20


class DamagedStream(Exception):  # noqa: N818
    """The compressed bytes end too early, or are not what they should be.

    Attributes:
        truncated: whether the data ended in the middle; otherwise they are corrupt.
        position: decompressed bytes before the damage.
    """

    def __init__(self, reason: str, position: int, truncated: bool) -> None:  # noqa: FBT001
        super().__init__(reason)
        self.position = position
        self.truncated = truncated


class Decompressor(Protocol):
    """What zlib, bz2, lzma and zstandard have in common."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, /) -> bytes:
        """Decompress a part."""


def _zstd() -> Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()  # type: ignore[no-any-return]


DECOMPRESSORS: dict[Compression, Callable[[], Decompressor]] = {
    Compression.GZIP: lambda: zlib.decompressobj(wbits=31),
    Compression.ZSTD: _zstd,
    Compression.BZIP2: bz2.BZ2Decompressor,
    Compression.XZ: lzma.LZMADecompressor,
}
FAILURES = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError)


def plain_chunks(file: BinaryIO, compression: Compression) -> Iterator[bytes]:
    """The content of a file in chunks; several members or frames follow one another.

    Raises:
        DamagedStream: the file is truncated or corrupt.
    """
    if compression is Compression.NONE:
        return _chunks(file, PLAIN_CHUNK)
    return _decompressed(_chunks(file, COMPRESSED_CHUNK), DECOMPRESSORS[compression])


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while chunk := file.read(size):
        yield chunk


def _decompressed(
    chunks: Iterator[bytes], make: Callable[[], Decompressor]
) -> Iterator[bytes]:
    current: Decompressor | None = None
    position = members = 0
    for chunk in chunks:
        rest = chunk
        while rest:
            if current is None:
                # Zero bytes after the last member are padding (tapes, block devices).
                if members and not rest.strip(b"\0"):
                    break
                current = make()
                members += 1
            try:
                plain = current.decompress(rest)
            except FAILURES as error:
                raise DamagedStream(str(error), position, truncated=False) from error
            position += len(plain)
            if plain:
                yield plain
            rest = current.unused_data if current.eof else b""
            current = None if current.eof else current
    if current is not None:
        raise DamagedStream("the data end before the end of the stream", position, truncated=True)
