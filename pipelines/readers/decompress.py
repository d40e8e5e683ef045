"""Decompression as a stream that notices a truncated file."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Protocol

import zstandard

from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.rejects import RejectReason

__all__ = ["DamagedStream", "plain_chunks", "raw_chunks"]

READ_BYTES = 4 << 20
# How much is fed at once. Three bytes can expand to 128 KiB (a zstd block of one byte), so the feed
# is small while data expand more than text does, and grows otherwise: small feeds halve the speed.
SMALLEST_FEED = 1 << 10
LARGEST_FEED = 32 << 10
USUAL_EXPANSION = 64


class DamagedStream(Exception):  # noqa: N818 - it names the stream, not the fault
    """The compressed bytes end too early, or are corrupt.

    Attributes:
        reason: truncated or corrupt.
        position: decompressed bytes before the damage.
    """

    def __init__(self, what: str, position: int, reason: RejectReason) -> None:
        super().__init__(what)
        self.position = position
        self.reason = reason


class Decompressor(Protocol):
    """What zlib, bz2, lzma and zstandard have in common: decompression stops after one member."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Decompress a part."""


def _zstd() -> Decompressor:
    # Large dumps are packed with a window of 2 GB (zstd --long=31).
    made: Decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    return made


DECOMPRESSORS: Mapping[Compression, Callable[[], Decompressor]] = {
    Compression.GZIP: lambda: zlib.decompressobj(wbits=31),
    Compression.ZSTD: _zstd,
    Compression.BZIP2: bz2.BZ2Decompressor,
    Compression.XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
}
FAILURES = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError)


def plain_chunks(chunks: Iterator[bytes], compression: Compression) -> Iterator[bytes]:
    """The content of a file in chunks; several members or frames follow one another.

    Raises:
        DamagedStream: the file is truncated or corrupt.
    """
    if compression is Compression.NONE:
        return chunks
    return _decompressed(chunks, DECOMPRESSORS[compression])


def raw_chunks(file: BinaryIO, most: int = READ_BYTES) -> Iterator[bytes]:
    """The bytes of a file as they are, at first no more than ``most``."""
    size = min(READ_BYTES, most)
    while chunk := file.read(size):
        size = READ_BYTES
        yield chunk


class _Feed:
    """Cuts chunks into pieces whose decompressed size stays bounded."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._size = SMALLEST_FEED

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            start = 0
            while start < len(chunk):
                piece = chunk[start : start + self._size]
                start += len(piece)
                yield piece

    def adapt(self, fed: int, plain: int) -> None:
        """Choose the size of the next piece by how much the last one expanded."""
        usual = plain <= USUAL_EXPANSION * fed
        self._size = min(LARGEST_FEED, 2 * self._size) if usual else SMALLEST_FEED


def _decompressed(chunks: Iterator[bytes], make: Callable[[], Decompressor]) -> Iterator[bytes]:
    current: Decompressor | None = None
    position = members = 0
    feed = _Feed(chunks)
    for piece in feed:
        rest = piece
        while rest:
            if current is None:
                # Zero bytes after a member are padding (xz, tapes, block devices).
                rest = rest.lstrip(b"\0") if members else rest
                if not rest:
                    break
                current = make()
                members += 1
            plain = _fed(current, rest, position)
            position += len(plain)
            feed.adapt(len(rest), len(plain))
            if plain:
                yield plain
            rest = current.unused_data if current.eof else b""
            current = None if current.eof else current
    if current is not None:
        what = "the data end before the end of the stream"
        raise DamagedStream(what, position, RejectReason.TRUNCATED_FILE)


def _fed(decompressor: Decompressor, data: bytes, position: int) -> bytes:
    try:
        return decompressor.decompress(data)
    except FAILURES as error:
        raise DamagedStream(str(error), position, RejectReason.CORRUPT_FILE) from error
