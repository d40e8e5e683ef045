"""The file formats of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from strata.storage.stores.opening import Output

__all__ = []


def _write_parquet(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))
            yield batch.num_rows


def _write_jsonl(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    encoder = msgspec.json.Encoder()
    binary = [field.name for field in schema if pa.types.is_fixed_size_binary(field.type)]
    for batch in batches:
        lines = [encoder.encode(_plain(row, binary)) for row in batch.to_pylist()]
        sink.write(b"\n".join([*lines, b""]))
        yield batch.num_rows


def _plain(row: dict[str, object], binary: list[str]) -> dict[str, object]:
    for name in binary:
        value = row[name]
        row[name] = value.hex() if isinstance(value, bytes) else value
    if isinstance(metadata := row.get("metadata"), str):
        row["metadata"] = msgspec.Raw(metadata.encode())
    return row


WRITERS: Mapping[str, Callable[[Output, Iterator[pa.RecordBatch], pa.Schema], Iterator[int]]] = {
    "parquet": _write_parquet,
    "jsonl": _write_jsonl,
}
