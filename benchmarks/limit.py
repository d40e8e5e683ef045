"""The limit of a machine: the work that cannot be avoided, in one thread of one process, no Spark.

It reads the same inputs with the fastest functions known here (Strata's own kernels where they are
the fastest), keeps everything in memory between the steps, and writes the same result: all
documents, the survivors' text and their tokens, with plain pyarrow. It has no checks, statistics,
checksums, rejects, fingerprints, catalog, retries or bound on its memory. What `strata run` takes
beyond this is the price of those, of two passes, and of Spark.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Workers of local mode have it as well; it has to be there before pyarrow is asked for memory.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")

from strata.pipelines.kernels.banding import band_keys, choose_banding  # noqa: E402
from strata.pipelines.kernels.buckets import BucketScanner, pack_sketches  # noqa: E402
from strata.pipelines.kernels.buffers import fixed_matrix  # noqa: E402 (after the path)
from strata.pipelines.kernels.components import components  # noqa: E402
from strata.pipelines.kernels.content_hash import content_hash  # noqa: E402
from strata.pipelines.kernels.minhash import sketch  # noqa: E402
from strata.pipelines.readers.listing import list_inputs  # noqa: E402
from strata.pipelines.readers.read import read_split  # noqa: E402
from strata.pipelines.readers.split import ReadLimits, plan_splits  # noqa: E402
from strata.pipelines.tokenization.encoders import GigatokenEncoder  # noqa: E402
from strata.pipelines.tokenization.spec import load_spec  # noqa: E402
from strata.settings import InputSettings, TokenizeSettings  # noqa: E402
from strata.storage.stores.fsspec_store import FsspecStore  # noqa: E402

__all__ = ["Limit", "measure_limit"]

THRESHOLD = 0.8
NGRAM = 5
BATCH_BYTES = 8_000_000
ROW_GROUP_BYTES = 64_000_000


@dataclass(slots=True)
class Limit:
    """Seconds of each step on the wall, processor seconds of all, and what went through."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    text_bytes: int = 0
    documents: int = 0
    survivors: int = 0
    survivor_bytes: int = 0
    tokens: int = 0

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())

    @property
    def rate(self) -> float:
        """MB of input text a second, on one core."""
        return self.text_bytes / 1e6 / self.total

    @contextmanager
    def lap(self, step: str) -> Iterator[None]:
        """Add the time inside to a step."""
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu


class _Sink:
    """A Parquet file (zstd 3), a row group at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        if sum(each.nbytes for each in self._waiting) >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._file,
                table.schema,
                compression="zstd",
                compression_level=3,
                use_dictionary=False,
                write_statistics=False,
            )
        self._writer.write_table(table, row_group_size=table.num_rows)

    def close(self) -> None:
        self.flush()
        if self._writer is not None:
            self._writer.close()


@dataclass(slots=True)
class _Held:
    """What stays in memory between the two halves."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    keys: list[np.ndarray] = field(default_factory=list)
    sketches: list[np.ndarray] = field(default_factory=list)
    hashes: list[np.ndarray] = field(default_factory=list)


def measure_limit(folder: Path, tokenizer: Path, out: Path) -> Limit:
    """Do the whole work once.

    Args:
        folder: inputs, ``*.jsonl.zst``.
        tokenizer: a ``tokenizer.json``.
        out: where the three files are written.
    """
    out.mkdir(parents=True, exist_ok=True)
    spec = load_spec(
        TokenizeSettings(tokenizer=str(tokenizer)), lambda path: Path(path).read_bytes()
    )
    _warm_up()
    limit = Limit()
    with limit.lap("load the tokenizer"):
        encoder = GigatokenEncoder(spec)
    held = _read(folder, out, limit)
    with limit.lap("deduplicate"):
        kept = _survivors(held)
    _encode(held, kept, encoder, out, limit)
    return limit


def _warm_up() -> None:
    # Loading compiled kernels is a cost of a process, not of the work.
    text = pa.array(["a b c d e f g"] * 2, pa.large_string())
    signature = sketch(text, NGRAM).signature
    content_hash(text)
    BucketScanner(THRESHOLD).feed(
        np.zeros(2, np.int64), np.arange(2, dtype=np.int64), pack_sketches(signature)
    )


def _read(folder: Path, out: Path, limit: Limit) -> _Held:
    held, store, banding = _Held(), FsspecStore(), choose_banding(THRESHOLD)
    found = list_inputs(store, [InputSettings(path=str(folder / "*.jsonl.zst"))]).files
    files = [file.numbered(number) for number, file in enumerate(found)]
    sink = _Sink(out / "documents.parquet")
    for split in plan_splits(files, store, 64_000_000):
        batches = read_split(store, split, ReadLimits(256_000_000, batch_bytes=BATCH_BYTES))
        while True:
            with limit.lap("read: decompress, parse, to Arrow"):
                batch = next(batches, None)
            if batch is None:
                break
            documents = batch.documents
            text = documents.column("text")
            with limit.lap("content hash"):
                held.hashes.append(fixed_matrix(content_hash(text)).view(np.int64))
            with limit.lap("MinHash"):
                signature = sketch(text, NGRAM).signature
            with limit.lap("deduplicate"):
                held.keys.append(band_keys(signature, banding))
                held.sketches.append(pack_sketches(signature))
            with limit.lap("write documents"):
                sink.write(documents)
            held.batches.append(documents)
            limit.documents += len(text)
            limit.text_bytes += pc.sum(pc.binary_length(text)).as_py()
    with limit.lap("write documents"):
        sink.close()
    return held


def _survivors(held: _Held) -> np.ndarray:
    hashes, keys = np.concatenate(held.hashes), np.concatenate(held.keys)
    sketches = np.concatenate(held.sketches)
    _, first, same = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
    edges = [np.stack([first[same], np.arange(len(hashes))])]
    scanner = BucketScanner(THRESHOLD)
    for column in keys.T:
        order = np.argsort(column, kind="stable")
        found = scanner.feed(column[order], order, sketches[order])
        edges.append(np.stack([found.a, found.b]))
    a, b = np.concatenate(edges, axis=1)
    joined = components(a, b)
    kept = np.ones(len(hashes), bool)
    kept[joined.nodes] = joined.nodes == joined.root
    return kept


def _encode(
    held: _Held, kept: np.ndarray, encoder: GigatokenEncoder, out: Path, limit: Limit
) -> None:
    clean, tokens = _Sink(out / "clean.parquet"), _Sink(out / "tokens.parquet")
    place = 0
    for batch in held.batches:
        survivors = batch.filter(pa.array(kept[place : place + batch.num_rows]))
        place += batch.num_rows
        with limit.lap("encode"):
            encoded = encoder.encode(survivors.column("text"))
        with limit.lap("write clean"):
            clean.write(survivors)
        with limit.lap("write tokens"):
            lists = pa.ListArray.from_arrays(encoded.offsets.astype(np.int32), encoded.ids)
            tokens.write(pa.record_batch({"doc_id": survivors.column("doc_id"), "tokens": lists}))
        limit.survivors += survivors.num_rows
        limit.survivor_bytes += pc.sum(pc.binary_length(survivors.column("text"))).as_py() or 0
        limit.tokens += len(encoded.ids)
    for step, sink in (("write clean", clean), ("write tokens", tokens)):
        with limit.lap(step):
            sink.close()


def main() -> int:
    """Measure once and print the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docs", type=Path, help="folder of *.jsonl.zst")
    parser.add_argument("tokenizer", type=Path, help="a tokenizer.json")
    parser.add_argument("out", type=Path, help="folder for the result")
    arguments = parser.parse_args()
    limit = measure_limit(arguments.docs, arguments.tokenizer, arguments.out)
    megabytes = limit.text_bytes / 1e6
    lines = [
        f"{limit.documents:,} documents, {megabytes:.1f} MB, {limit.survivors:,} survivors, "
        f"{limit.tokens / 1e6:.1f} M tokens: {limit.total:.2f} s = {limit.rate:.1f} MB/s"
    ]
    for step, seconds in limit.seconds.items():
        lines.append(f"  {step:36}{seconds:7.2f} s {seconds / megabytes * 1e3:7.2f} ms/MB")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
