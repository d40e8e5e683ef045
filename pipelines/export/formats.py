"""The file formats of an export: one function per format, and the table that names them.

The command line reads the names for ``--help``, so only the functions import the libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from strata.storage.contracts.store import Output

    Write = Callable[[Output, Iterator[pa.RecordBatch], pa.Schema], Iterator[int]]

__all__ = ["WRITERS"]


def _write_parquet(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))
            yield batch.num_rows


def _write_jsonl(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    import msgspec
    import pyarrow as pa

    encoder = msgspec.json.Encoder()
    binary = [field.name for field in schema if pa.types.is_fixed_size_binary(field.type)]

    def plain(row: dict[str, object]) -> dict[str, object]:
        for name in binary:
            value = row[name]
            row[name] = value.hex() if isinstance(value, bytes) else value
        if isinstance(metadata := row.get("metadata"), str):
            row["metadata"] = msgspec.Raw(metadata.encode())
        return row

    for batch in batches:
        lines = [encoder.encode(plain(row)) for row in batch.to_pylist()]
        sink.write(b"\n".join([*lines, b""]))
        yield batch.num_rows


WRITERS: Mapping[str, Write] = MappingProxyType({"parquet": _write_parquet, "jsonl": _write_jsonl})
"""Writers by name of the format, which is also the suffix of the file. A writer writes batches of a
schema to a sink, and yields the number of rows of each batch once it is written."""
