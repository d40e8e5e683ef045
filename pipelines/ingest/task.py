"""The shard pass in a worker: read splits, fingerprint, write Parquet, return descriptions.

Readers and kernels are imported by the functions that run in a worker: the driver, which only
describes tasks, is spared numba and its second of imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.ingest.blocklist import Tombstones
from strata.pipelines.ingest.growth import DigestingStore, grows, with_digests
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.records import ReadBatch
from strata.pipelines.readers.rejects import BrokenFile, Reject
from strata.pipelines.readers.split import InputFile, ReadLimits, Split
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, RowWriter, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer

__all__ = [
    "InputCount",
    "ShardResult",
    "ShardTask",
    "document_rows",
    "fingerprint_rows",
    "manifest_rows",
    "run_shard_task",
]

REJECT_SAMPLES = 5
BUFFER_BYTES = 4_000_000
WRITTEN = ("documents", "fingerprints", "rejects")


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Splits that one task reads, and where it writes: folder and layout by table."""

    splits: tuple[Split, ...]
    storage: StorageOptions
    folders: Mapping[str, Url]
    layouts: Mapping[str, ParquetLayout]
    ngram: int
    limits: ReadLimits

    def without(self, ordinals: frozenset[int]) -> ShardTask:
        """The same task without the splits of some input files."""
        kept = tuple(split for split in self.splits if split.file.ordinal not in ordinals)
        return replace(self, splits=kept)


@dataclass(slots=True)
class InputCount:
    """Counts of one input file, as in ReadBatch; rejects by reason."""

    records: int = 0
    documents: int = 0
    dates_unread: int = 0
    nul_removed: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    digests: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(self, other: InputCount) -> None:
        """Add the count of another split of the same file."""
        self.records += other.records
        self.documents += other.documents
        self.dates_unread += other.dates_unread
        self.nul_removed += other.nul_removed
        for reason, number in other.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + number
        self.digests |= other.digests


@dataclass(slots=True)
class ShardResult:
    """What a task wrote and counted; with a broken file it wrote nothing and must run again."""

    files: list[WrittenFile] = field(default_factory=list)
    inputs: dict[int, InputCount] = field(default_factory=dict)
    broken: dict[int, Reject] = field(default_factory=dict)
    samples: list[Reject] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


def run_shard_task(task: ShardTask, tombstones: Tombstones | None = None) -> ShardResult:
    """Read the splits of a task into `documents`, `fingerprints` and `rejects`.

    Args:
        task: what to read and where to write.
        tombstones: records to reject; separate from the tasks, so that Spark ships them once.
    """
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    result, stem = ShardResult(), task_stem("shard")
    writers = {
        table: table_writer(store, task.folders[table], table, task.layouts[table], stem)
        for table in WRITTEN
    }
    buffer = _BatchBuffer(writers, task.ngram)
    try:
        for split in task.splits:
            source = _SplitSource(split, store, task.limits, tombstones)
            _read_one(source, buffer, result)
        buffer.flush()
        if not result.broken:
            result.files = [file for writer in writers.values() for file in writer.close()]
    finally:
        # After a broken file, or an error, nothing of this attempt is kept.
        if not result.files:
            for writer in writers.values():
                writer.discard()
    result.counters = cost.counters(store.meter)
    result.counters.text_bytes = buffer.text_bytes
    result.counters.files_written = len(result.files)
    return result


@dataclass(frozen=True, slots=True)
class _SplitSource:
    """A split, and how it is read."""

    split: Split
    store: Store
    limits: ReadLimits
    tombstones: Tombstones | None

    def batches(self, count: InputCount) -> Iterator[ReadBatch]:
        """The batches of the split, without retracted documents; ``count`` gets its digest."""
        store = self.store
        digesting = DigestingStore(store, self.split) if grows(self.split.file) else None
        for batch in read_split(digesting or store, self.split, self.limits):
            yield self.tombstones.without(batch, self.split.file) if self.tombstones else batch
        if digesting:
            count.digests |= digesting.digests


def _read_one(source: _SplitSource, buffer: _BatchBuffer, result: ShardResult) -> None:
    ordinal = source.split.file.ordinal
    count = result.inputs.setdefault(ordinal, InputCount())
    try:
        for batch in source.batches(count):
            count.add(_count(batch))
            # After a broken file the others are only checked, so that one more round is enough.
            if not result.broken:
                buffer.add(batch)
                bad = [reject for reject in batch.rejects if not reject.reason.harmless]
                result.samples.extend(bad[: REJECT_SAMPLES - len(result.samples)])
    except BrokenFile as broken:
        result.broken[ordinal] = broken.reject


class _BatchBuffer:
    """Batches on their way to the writers; small ones are joined to save per-batch overhead."""

    def __init__(self, writers: Mapping[str, RowWriter], ngram: int) -> None:
        self._writers = writers
        self._ngram = ngram
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0
        self.text_bytes = 0

    def add(self, batch: ReadBatch) -> None:
        if batch.rejects:
            self._writers["rejects"].write(reject_rows(batch.rejects))
        if batch.documents.num_rows:
            self._waiting.append(batch.documents)
            self._bytes += batch.documents.nbytes
        if self._bytes >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        documents = document_rows(_joined(self._waiting))
        self._waiting, self._bytes = [], 0
        self.text_bytes += pc.sum(documents.column("n_bytes")).as_py()
        self._writers["documents"].write(documents)
        self._writers["fingerprints"].write(fingerprint_rows(documents, self._ngram))


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _count(batch: ReadBatch) -> InputCount:
    rejected: dict[str, int] = {}
    for reject in batch.rejects:
        rejected[reject.reason] = rejected.get(reject.reason, 0) + 1
    return InputCount(
        batch.records, batch.documents.num_rows, batch.dates_unread, batch.nul_removed, rejected
    )


def document_rows(read: pa.RecordBatch) -> pa.RecordBatch:
    """Batches of a reader as rows of the table `documents`."""
    from strata.pipelines.kernels.content_hash import content_hash

    text = read.column("text")
    columns = {name: read.column(name) for name in read.schema.names}
    columns["n_bytes"] = pc.binary_length(text)
    columns["content_hash"] = content_hash(text)
    schema = SCHEMAS["documents"]
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def fingerprint_rows(documents: pa.RecordBatch, ngram: int) -> pa.RecordBatch:
    """The fingerprints of rows of the table `documents`."""
    from strata.pipelines.kernels.content_hash import hash64
    from strata.pipelines.kernels.minhash import sketch

    sketches = sketch(documents.column("text"), ngram)
    flat = np.ascontiguousarray(sketches.signature).reshape(-1)
    width = sketches.signature.shape[1]
    columns = {
        "n_shingles": pa.array(sketches.n_shingles),
        "id_hash": pa.array(hash64(documents.column("id"))),
        "signature": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(width), documents.num_rows, [None, pa.py_buffer(flat)]
        ),
    }
    for name in ("doc_id", "source", "n_bytes", "content_hash"):
        columns[name] = documents.column(name)
    schema = SCHEMAS["fingerprints"]
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def reject_rows(rejects: list[Reject]) -> pa.RecordBatch:
    """Rejects as rows of the table `rejects`."""
    schema = SCHEMAS["rejects"]
    rows = [{name: getattr(reject, name) for name in schema.names} for reject in rejects]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def manifest_rows(
    files: Sequence[InputFile], counts: Mapping[int, InputCount], broken: Mapping[int, object]
) -> pa.RecordBatch:
    """Rows of the table `inputs` for files that were just read."""
    rows = []
    for file in files:
        count = counts.get(file.ordinal, InputCount())
        status = "read" if count.records else "empty"
        rows.append(_row(file, count, "broken" if file.ordinal in broken else status))
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["inputs"])


def _row(file: InputFile, count: InputCount, status: str) -> dict[str, object]:
    return {
        "uri": file.uri,
        "ordinal": file.ordinal,
        "size": file.size,
        "identity": with_digests(file.identity, count.digests),
        "source": file.source,
        "format": str(file.format),
        "cause": file.cause,
        "status": status,
        "rows": count.documents,
        "rejected": sum(count.rejected.values()),
    }
