"""Blocks of whole lines, with their offsets, from a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["LineBlock", "line_blocks", "range_chunks"]

BOM = b"\xef\xbb\xbf"
READ_BYTES = 4 << 20
EXCERPT_BYTES = 800


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines, or the beginning of one that is too long to be read.

    Attributes:
        offset: of the first byte in the decompressed stream.
        data: the lines; only the last line of a stream may lack its newline.
        too_long: the block is the beginning of one overlong line, whose rest was passed over.
    """

    offset: int
    data: bytes
    too_long: bool = False


def line_blocks(
    chunks: Iterator[bytes], offset: int, block_bytes: int, longest_line: int
) -> Iterator[LineBlock]:
    """Cut a stream into blocks of about ``block_bytes`` that end with a newline.

    Args:
        chunks: the decompressed stream.
        offset: of its first byte.
        block_bytes: bytes at which a block ends with its last whole line.
        longest_line: a longer line is passed over, and told of by its beginning.
    """
    parts: list[bytes] = []
    size = 0
    skipping = False
    for number, raw in enumerate(chunks):
        chunk = _without_bom(raw) if number == 0 and offset == 0 else raw
        if skipping:
            end = chunk.find(b"\n")
            offset += len(chunk) if end < 0 else end + 1
            if end < 0:
                continue
            chunk, skipping = chunk[end + 1 :], False
        parts.append(chunk)
        size += len(chunk)
        if size < block_bytes:
            continue
        data = b"".join(parts)
        end = data.rfind(b"\n") + 1
        if end:
            yield LineBlock(offset, data[:end])
            offset += end
            data = data[end:]
        if len(data) > longest_line:
            yield LineBlock(offset, data[:EXCERPT_BYTES], too_long=True)
            offset += len(data)
            data, skipping = b"", True
        parts, size = [data], len(data)
    if size:
        yield LineBlock(offset, b"".join(parts))


def _without_bom(chunk: bytes) -> bytes:
    # Spaces instead keep every offset true, and are no part of a JSON value.
    return b"   " + chunk[3:] if chunk.startswith(BOM) else chunk


@dataclass(frozen=True, slots=True)
class RangeStart:
    """Where the first line of a byte range begins, and the chunks from there."""

    offset: int
    chunks: Iterator[bytes]


def range_chunks(file: BinaryIO, start: int, end: int) -> RangeStart:
    """The lines whose first byte lies in ``start <= byte < end``.

    Any set of ranges that covers a file gives every line exactly once.
    """
    offset = start
    if start > 0:
        file.seek(start - 1)
        offset = _after_newline(file, start - 1)
    return RangeStart(offset, _until(file, offset, end) if offset < end else iter(()))


def _after_newline(file: BinaryIO, position: int) -> int:
    """Offset after the first newline at or after the file's position; leaves the file there."""
    while chunk := file.read(READ_BYTES):
        found = chunk.find(b"\n")
        if found >= 0:
            file.seek(position + found + 1)
            return position + found + 1
        position += len(chunk)
    return position


def _until(file: BinaryIO, offset: int, end: int) -> Iterator[bytes]:
    # The last line is the one that holds byte end - 1; it may go on beyond the range.
    while offset < end:
        chunk = file.read(min(READ_BYTES, end - offset))
        if not chunk:
            return
        offset += len(chunk)
        yield chunk
        if offset == end and not chunk.endswith(b"\n"):
            yield from _rest_of_line(file)


def _rest_of_line(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        found = chunk.find(b"\n")
        yield chunk if found < 0 else chunk[: found + 1]
        if found >= 0:
            return
