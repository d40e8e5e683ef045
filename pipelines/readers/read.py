"""One split to batches of documents and rejects, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator

from strata.pipelines.readers.csv import read_csv
from strata.pipelines.readers.decompress import DamagedStream, plain_chunks
from strata.pipelines.readers.jsonl import JsonLines
from strata.pipelines.readers.lines import OTHER_FIELDS_BYTES, line_blocks, range_chunks
from strata.pipelines.readers.parquet import read_parquet
from strata.pipelines.readers.records import ReadBatch, reject
from strata.pipelines.readers.rejects import BrokenFile
from strata.pipelines.readers.split import Compression, ReadLimits, Split
from strata.pipelines.readers.text import read_text
from strata.settings import InputFormat
from strata.storage.stores.opening import Store

__all__ = ["read_split"]

# Room for escapes: a letter of two bytes takes six where everything but ASCII is escaped.
LINE_OVERHEAD = 3


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """Read a split; for each batch ``records = documents + rejects``.

    Raises:
        BrokenFile: the container is damaged; the documents read so far must not be kept.
    """
    if split.file.format is InputFormat.PARQUET:
        yield from read_parquet(split, store, limits.max_document_bytes, limits.batch_bytes)
        return
    try:
        yield from _read_stream(store, split, limits)
    except DamagedStream as damage:
        told = reject(split.file, damage.position, damage.reason, str(damage))
        raise BrokenFile(told) from damage


def _read_stream(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    file = split.file
    with store.open_input(file.url) as handle:
        if file.format is InputFormat.JSONL:
            offset, chunks = 0, plain_chunks(handle, file.compression)
            if file.compression is Compression.NONE:
                piece = range_chunks(handle, split.start, split.end)
                offset, chunks = piece.offset, piece.chunks
            longest = LINE_OVERHEAD * limits.max_document_bytes + OTHER_FIELDS_BYTES
            lines = JsonLines(file, limits.max_document_bytes, longest)
            for block in line_blocks(chunks, offset, limits.batch_bytes, longest):
                yield from lines.read(block)
            return
        chunks = plain_chunks(handle, file.compression)
        if file.format is InputFormat.CSV:
            yield from read_csv(file, chunks, limits.max_document_bytes, limits.batch_bytes)
        else:
            yield from read_text(file, chunks, limits.max_document_bytes)
