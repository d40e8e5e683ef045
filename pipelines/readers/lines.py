"""Blocks of whole lines, with their offsets, from a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from strata.pipelines.readers.decompress import DamagedStream
from strata.pipelines.readers.rejects import RejectReason

__all__ = [
    "BOM",
    "OTHER_FIELDS_BYTES",
    "LineBlock",
    "RangeStart",
    "line_blocks",
    "range_chunks",
]

BOM = b"\xef\xbb\xbf"
READ_BYTES = 4 << 20
# How much is read at a time to find the end of a range's last line; other tasks read it again.
TAIL_BYTES = 256 << 10
EXCERPT_BYTES = 800
# Room that a record has for all fields but its text.
OTHER_FIELDS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines, or the beginning of one that is too long to be read.

    Attributes:
        offset: of the first byte in the decompressed stream.
        data: the lines; only the last line of a stream may lack its newline.
        too_long: the block is the beginning of one overlong line, whose rest was skipped.
    """

    offset: int
    data: bytes
    too_long: bool = False


def line_blocks(
    chunks: Iterator[bytes], offset: int, block_bytes: int, longest_line: int
) -> Iterator[LineBlock]:
    """Cut a stream into blocks of about ``block_bytes`` that end with a newline.

    A byte order mark at the start of the file becomes spaces, so that every offset stays right.

    Args:
        chunks: the decompressed stream.
        offset: of its first byte.
        block_bytes: bytes at which a block ends with its last whole line.
        longest_line: a longer line may be skipped; then only its beginning is returned.
    """
    for block in _cut(chunks, offset, block_bytes, longest_line):
        if block.offset == 0 and block.data.startswith(BOM):
            yield replace(block, data=b"   " + block.data[len(BOM) :])
        else:
            yield block


def _cut(
    chunks: Iterator[bytes], offset: int, block_bytes: int, longest_line: int
) -> Iterator[LineBlock]:
    parts: list[bytes | memoryview] = []
    size = 0
    for chunk in _after_skips(chunks, skips := _Skips()):
        offset += skips.take()
        # Only the new chunk is searched: the cost of a line must not be quadratic in its chunks.
        end = chunk.rfind(b"\n") + 1 if size + len(chunk) >= block_bytes else 0
        if end:
            whole = memoryview(chunk)
            yield LineBlock(offset, b"".join([*parts, whole[:end]]))
            offset += size + end
            parts, size = [whole[end:]], len(chunk) - end
            continue
        parts.append(chunk)
        size += len(chunk)
        if size > block_bytes + longest_line:
            data = b"".join(parts)
            end = data.rfind(b"\n") + 1
            if end:
                yield LineBlock(offset, data[:end])
            rest = data[end:]
            if len(rest) > longest_line:
                yield LineBlock(offset + end, rest[:EXCERPT_BYTES], too_long=True)
                skips.on = True
                end, rest = len(data), b""
            offset += end
            parts, size = [rest], len(rest)
    if size:
        yield LineBlock(offset, b"".join(parts))


@dataclass(slots=True)
class _Skips:
    """Whether the rest of a line is being skipped, and the number of bytes skipped so far."""

    on: bool = False
    passed: int = 0

    def take(self) -> int:
        """The number of bytes skipped since the last call."""
        passed, self.passed = self.passed, 0
        return passed


def _after_skips(chunks: Iterator[bytes], skips: _Skips) -> Iterator[bytes]:
    for chunk in chunks:
        rest = chunk
        if skips.on:
            end = chunk.find(b"\n") + 1
            skips.passed += end or len(chunk)
            skips.on = not end
            rest = chunk[end:] if end else b""
        if rest:
            yield rest


@dataclass(frozen=True, slots=True)
class RangeStart:
    """Where the first line of a byte range begins, and the chunks from there."""

    offset: int
    chunks: Iterator[bytes]


def range_chunks(file: BinaryIO, start: int, end: int, head: bytes = b"") -> RangeStart:
    """The lines whose first byte lies in ``start <= byte < end``.

    Adjacent ranges that cover a file yield every line exactly once.

    Args:
        file: the file.
        start: the first byte.
        end: the byte behind the last one.
        head: with ``start`` 0, what was already read of the file.

    Raises:
        DamagedStream: the file has no byte ``end - 1``; also while the chunks are taken.
    """
    if start == 0:
        return RangeStart(0, _until(file, head, 0, end) if end else iter(()))
    file.seek(start - 1)
    offset = start - 1
    while offset < end:
        chunk = file.read(min(READ_BYTES, end - offset))
        found = chunk.find(b"\n")
        if found >= 0:
            offset += found + 1
            return RangeStart(offset, _until(file, chunk[found + 1 :], offset, end))
        if not chunk:
            raise _shrunk(offset)
        offset += len(chunk)
    return RangeStart(offset, iter(()))


def _until(file: BinaryIO, chunk: bytes, offset: int, end: int) -> Iterator[bytes]:
    """``chunk`` at ``offset`` and what follows it, up to the end of the line with byte end - 1."""
    if offset >= end:
        return
    while True:
        found = chunk.find(b"\n", max(0, end - 1 - offset))
        if found >= 0:
            yield chunk[: found + 1]
            return
        if chunk:
            yield chunk
        offset += len(chunk)
        chunk = file.read(min(READ_BYTES, end - offset) if offset < end else TAIL_BYTES)
        if not chunk:
            if offset < end:
                raise _shrunk(offset)
            return


def _shrunk(offset: int) -> DamagedStream:
    what = "the file ends earlier than when it was listed"
    return DamagedStream(what, offset, RejectReason.TRUNCATED_FILE)
