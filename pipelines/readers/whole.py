"""Text files: one document a file."""

from __future__ import annotations

from collections.abc import Iterator

from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import InputFile

__all__ = ["read_whole"]


def read_whole(
    file: InputFile, chunks: Iterator[bytes], max_document_bytes: int
) -> Iterator[ReadBatch]:
    """The document of a file, at position 0; an empty file has none. Its id is the file's URL."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        # The rest is read but not kept: a damaged container must not go unnoticed.
        if size <= max_document_bytes:
            parts.append(chunk)
    if not size:
        return
    columns = Columns()
    data = b"".join(parts)
    if size > max_document_bytes:
        refused = [reject(file, 0, RejectReason.TOO_LONG, data)]
        yield build_batch(file, columns, refused, 1, max_document_bytes)
        return
    try:
        text = data.decode(_codec(file.options.encoding))
    except UnicodeDecodeError:
        refused = [reject(file, 0, RejectReason.INVALID_UTF8, data)]
        yield build_batch(file, columns, refused, 1, max_document_bytes)
        return
    columns = Columns([0], [text], [file.uri], [None], [None], [None])
    yield build_batch(file, columns, [], 1, max_document_bytes)


def _codec(encoding: str) -> str:
    # A byte order mark is not part of the text.
    return "utf-8-sig" if encoding == "utf-8" else encoding
