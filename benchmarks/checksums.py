"""What checksums cost: their rate, and their share of the time of writing a table.

``python -m benchmarks.checksums FILE.jsonl.zst…`` reads real documents and prints ratios.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
import zstandard

from strata.pipelines.ingest.task import document_rows
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout, TableWriter

BATCH_ROWS = 2_000
ROUNDS = 5


def read_documents(paths: list[Path], limit_bytes: int) -> pa.Table:
    """Documents of JSON lines as rows of the table `documents`."""
    texts: list[str] = []
    size = 0
    for path in paths:
        with zstandard.open(path, "rb") as file:
            for line in io.BufferedReader(file):
                texts.append(json.loads(line)["text"])
                size += len(texts[-1])
                if size >= limit_bytes:
                    break
    batches = [
        _rows(texts[start : start + BATCH_ROWS], start)
        for start in range(0, len(texts), BATCH_ROWS)
    ]
    return pa.Table.from_batches(batches)


def _rows(texts: list[str], first: int) -> pa.RecordBatch:
    count = len(texts)
    columns = {
        "doc_id": pa.array(np.arange(first, first + count)),
        "id": pa.array([f"document-{first + i}" for i in range(count)]),
        "text": pa.array(texts, pa.large_string()),
        "source": pa.array(["web"] * count),
        "lang": pa.nulls(count, pa.string()),
        "url": pa.nulls(count, pa.string()),
        "metadata": pa.nulls(count, pa.large_string()),
        "created": pa.nulls(count, SCHEMAS["documents"].field("created").type),
    }
    return document_rows(pa.RecordBatch.from_pydict(columns))


def best(work: Callable[[], object]) -> float:
    """The least CPU seconds of several rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--mb", type=int, default=100)
    arguments = parser.parse_args()
    documents = read_documents(arguments.files, arguments.mb * 1_000_000)
    rng = np.random.default_rng(1)
    numbers = [np.sort(rng.integers(0, 1 << 50, 2_000_000)) for _ in range(2)]
    edges = pa.Table.from_arrays(
        [*numbers, rng.random(2_000_000, np.float32), rng.random(2_000_000) < 0.1],
        schema=SCHEMAS["edges"],
    )
    for name, rows in (("documents", documents), ("edges", edges)):
        checksum = best(partial(RowsChecksum.of, rows))
        write = best(partial(_write, name, rows))
        print(
            f"{name}: {rows.num_rows:,} rows, {rows.nbytes / 1e6:.0f} MB; checksum "
            f"{rows.nbytes / checksum / 1e9:.2f} GB/s; TableWriter, zstd-3, {write:.2f} s, of "
            f"which the checksum is {checksum / write:.1%}"
        )
    body = b"".join(documents.column("text").chunk(0).to_pylist()[0].encode() for _ in range(99))
    body *= max(1, 50_000_000 // len(body))
    native = best(lambda: xxhash.xxh64_intdigest(body))
    digest = best(lambda: xxhash.xxh3_128(body))
    print(
        f"one long string: xxh64 in C {len(body) / native / 1e9:.2f} GB/s; digest of files "
        f"(xxh3-128) {len(body) / digest / 1e9:.2f} GB/s"
    )


def _write(name: str, rows: pa.Table) -> None:
    layout = ParquetLayout("zstd", 3, 64_000_000, 128_000_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        TableWriter(open_store(), Url.parse(folder), name, layout, "t") as writer,
    ):
        for batch in rows.to_batches():
            writer.write(batch)


if __name__ == "__main__":
    main()
