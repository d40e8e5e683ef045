"""Reading every byte and row of a Parquet file, over the network only once if memory allows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import xxhash

from strata.errors import InputError
from strata.storage.checksums.file_digest import StoredDigest
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.contracts.store import ByteRange
from strata.storage.reading.scan import PREFETCH, ParquetScan, read_footer, rows_per_batch
from strata.storage.transfer.prefetch import PrefetchedFile

__all__ = ["check_bytes", "checksum_rows"]

_BATCH_BYTES = 16_000_000
PIECE_BYTES = 8 << 20


def check_bytes(scan: ParquetScan, piece_bytes: int = PIECE_BYTES) -> None:
    """Compare all bytes of a file with the digest in its footer, if it has one.

    Call it first: what it has fetched is then decoded from memory.

    Args:
        scan: the open file.
        piece_bytes: what is read of a file at once.

    Raises:
        InputError: they differ.
    """
    source = scan.source
    footer = read_footer(source)
    stored = StoredDigest.find(footer)
    if source.size <= PREFETCH:
        source.prefetch([ByteRange(0, source.size)])
    if stored is None:
        return
    body = xxhash.xxh3_128()
    for piece in _pieces(source, source.size - len(footer), piece_bytes):
        body.update(piece)
    if not stored.is_file_sound(body):
        raise InputError(f"{scan.url} is damaged: its bytes do not have the digest in its footer")


def checksum_rows(scan: ParquetScan, schema: pa.Schema) -> RowsChecksum:
    """Decode all rows, and return their checksum.

    Args:
        scan: the open file.
        schema: of the table.

    Raises:
        InputError: a page is damaged, or a column of the table is missing.
    """
    absent = [name for name in schema.names if name not in scan.parquet.schema_arrow.names]
    if absent:
        raise InputError(f"{scan.url} has no column {', '.join(absent)}")
    return sum(
        (
            RowsChecksum.of(batch)
            for group in range(scan.metadata.num_row_groups)
            for batch in _batches(scan, group, schema)
        ),
        RowsChecksum(),
    )


def _pieces(source: PrefetchedFile, end: int, piece_bytes: int) -> Iterator[bytes | memoryview]:
    source.seek(0)
    while (rest := end - source.tell()) > 0:
        yield source.read(min(rest, piece_bytes))


def _batches(scan: ParquetScan, group: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = rows_per_batch(scan.metadata.row_group(group), schema.names, _BATCH_BYTES)
    if scan.source.size > PREFETCH:
        yield from scan.batches(group, schema.names, rows)
        return
    # `ParquetScan.batches` would fetch again what is already in memory.
    yield from scan.decoded(group, schema.names, rows)
