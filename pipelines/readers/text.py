"""Text files: one document per file."""

from __future__ import annotations

from collections.abc import Iterator

from strata.pipelines.readers.opening import open_plain
from strata.pipelines.readers.records import Columns, ReadBatch, Rows, build_batch, reject
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import InputFile, ReadLimits, Split
from strata.storage.contracts.store import Store

__all__ = ["read_split"]

# UTF-16 has two bytes where UTF-8 has one; both may begin with a byte order mark.
RAW_OVERHEAD = 2
LONGEST_MARK = 3


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """The document of a file, at position 0; an empty file has none. Its id is the file's URL."""
    with store.open_input(split.file.url) as handle:
        chunks = open_plain(handle, split.file).chunks
        yield from _read(split.file, chunks, limits)


def _read(file: InputFile, chunks: Iterator[bytes], limits: ReadLimits) -> Iterator[ReadBatch]:
    parts: list[bytes] = []
    size = 0
    longest = RAW_OVERHEAD * limits.max_document_bytes + LONGEST_MARK
    for chunk in chunks:
        # Past the limit the rest is read but not kept: damage must not go unnoticed.
        if size <= longest:
            parts.append(chunk)
        size += len(chunk)
    if not size:
        return
    data = b"".join(parts)
    try:
        columns = _document(file, data) if size <= longest else None
        reason = RejectReason.TOO_LONG
    except UnicodeDecodeError:
        columns, reason = None, RejectReason.INVALID_UTF8
    rejects = [] if columns else [reject(file, 0, reason, data)]
    yield build_batch(file, columns or Columns.empty(), rejects, 1, limits)


def _document(file: InputFile, data: bytes) -> Columns:
    text = data.decode(_codec(file.options.encoding))
    return Rows([0], [text], [file.uri], [None], [None], [None], [None]).columns()


def _codec(encoding: str) -> str:
    # A byte order mark is not part of the text.
    return "utf-8-sig" if encoding == "utf-8" else encoding
