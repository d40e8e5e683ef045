"""The tokenize pass in a worker: read, drop duplicates, encode, write `tokens` and `clean`.

Engines are imported by the functions that run in a worker, as kernels are in the shard pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.pipelines.cut_lookup import TextCutter
from strata.pipelines.ledger_lookup import LedgerFile, RemovedBy, removed_ids
from strata.pipelines.stage import Counters
from strata.pipelines.tasks import TaskCost, task_stem
from strata.pipelines.tokenizer_spec import TokenizerSpec
from strata.storage.parquet import ParquetLayout, RowWriter, WrittenFile
from strata.storage.partitions.partitioned_writer import table_writer
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import MeteredStore, StorageOptions, Store, open_store
from strata.storage.url import Url

if TYPE_CHECKING:
    from strata.pipelines.tokenizer_engine import Engine

__all__ = [
    "Part",
    "TokenResult",
    "TokenTask",
    "cut_survivors",
    "run_token_task",
    "survivors",
    "token_rows",
]

# The engine holds several times a batch while it encodes; larger ones are no faster.
BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Row groups of a file of `documents`, and the range of document ids in the file."""

    url: str
    row_groups: tuple[int, ...]
    min_doc_id: int
    max_doc_id: int


@dataclass(frozen=True, slots=True)
class TokenTask:
    """What one task encodes, and where it writes; `clean` is written where it has a folder.

    Where ``only`` is given, int64[n], ascending, no other document is encoded or counted.
    """

    parts: tuple[Part, ...]
    ledger: tuple[LedgerFile, ...]
    cuts: tuple[LedgerFile, ...]
    storage: StorageOptions
    folders: Mapping[str, Url]
    layouts: Mapping[str, ParquetLayout]
    check_documents: int
    only: np.ndarray | None = None


@dataclass(slots=True)
class TokenResult:
    """What a task read, removed (as duplicates, or for what they contain) and wrote."""

    rows_in: int = 0
    removed: int = 0
    contaminated: int = 0
    emptied: int = 0
    bytes_cut: int = 0
    checked: int = 0
    encode_cpu_seconds: float = 0.0
    engine: str = ""
    files: list[WrittenFile] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


def run_token_task(task: TokenTask, spec: TokenizerSpec) -> TokenResult:
    """Encode the survivors of some row groups.

    Args:
        task: what to read and where to write.
        spec: the tokenizer; apart from the tasks, so that Spark ships its megabytes only once.

    Raises:
        BalanceError: the engine and the reference disagree on a document of the sample.
    """
    from strata.pipelines.tokenizer_engine import Engine

    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    engine, stem = Engine.open(spec), task_stem("tokenize")
    result = TokenResult(engine=engine.encoder.name)
    tokens = text_bytes = 0
    with ExitStack() as stack:
        writers: dict[str, RowWriter] = {}
        for table, folder in task.folders.items():
            writer = table_writer(store, folder, table, task.layouts[table], stem)
            writers[table] = stack.enter_context(writer)
        for batch in cut_survivors(task.parts, task.ledger, task.cuts, store, result, task.only):
            _check(engine, batch, task, result)
            began = time.process_time()
            encoded = token_rows(engine, batch)
            result.encode_cpu_seconds += time.process_time() - began
            writers["tokens"].write(encoded)
            if "clean" in writers:
                writers["clean"].write(batch)
            tokens += int(encoded.column("n_tokens").to_numpy().sum())
            text_bytes += int(batch.column("n_bytes").to_numpy().sum())
        result.files = [file for writer in writers.values() for file in writer.close()]
    result.counters = cost.counters(store.meter)
    result.counters.tokens, result.counters.text_bytes = tokens, text_bytes
    result.counters.files_written = len(result.files)
    return result


def cut_survivors(
    parts: tuple[Part, ...],
    ledger: tuple[LedgerFile, ...],
    cuts: tuple[LedgerFile, ...],
    store: Store,
    result: TokenResult,
    only: np.ndarray | None = None,
) -> Iterator[pa.RecordBatch]:
    """The documents that `survivors` gives, without what is cut from them."""
    cutter = TextCutter(cuts, store)
    for part in parts:
        yield from cutter.cut(
            survivors((part,), ledger, store, result, only), part.min_doc_id, part.max_doc_id
        )
    result.emptied, result.bytes_cut = cutter.emptied, cutter.bytes_cut


def survivors(
    parts: tuple[Part, ...],
    ledger: tuple[LedgerFile, ...],
    store: Store,
    result: TokenResult,
    only: np.ndarray | None = None,
    columns: Sequence[str] = SCHEMAS["documents"].names,
) -> Iterator[pa.RecordBatch]:
    """The documents of some row groups that no table removes, counted in ``result``.

    Where ``only`` is given, int64[n], there are no others.
    """
    duplicates = [file for file in ledger if file.reason is RemovedBy.CLUSTERS]
    contained = [file for file in ledger if file.reason is RemovedBy.CONTAINED]
    for part in parts:
        removed = removed_ids(duplicates, part.min_doc_id, part.max_doc_id, store)
        contaminated = removed_ids(contained, part.min_doc_id, part.max_doc_id, store)
        url = Url.parse(part.url)
        for batch in read_batches(store, url, columns, part.row_groups, BATCH_BYTES):
            doc_ids = batch.column("doc_id").to_numpy()
            asked = np.ones(len(doc_ids), bool) if only is None else np.isin(doc_ids, only)
            original = asked & ~np.isin(doc_ids, removed)
            keep = original & ~np.isin(doc_ids, contaminated)
            result.rows_in += int(asked.sum())
            result.removed += int(asked.sum() - original.sum())
            result.contaminated += int(original.sum() - keep.sum())
            if keep.all():
                yield batch
            elif keep.any():
                yield batch.filter(pa.array(keep))


def _check(engine: Engine, batch: pa.RecordBatch, task: TokenTask, result: TokenResult) -> None:
    from strata.pipelines.tokenizer_reference import check_equal

    wanted = min(task.check_documents - result.checked, batch.num_rows)
    if wanted > 0:
        check_equal(engine, engine.spec, batch.column("text").slice(0, wanted))
        result.checked += wanted


def token_rows(engine: Engine, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Documents as rows of the table `tokens`."""
    tokens = engine.encode(batch.column("text"))
    schema = SCHEMAS["tokens"]
    lists = pa.ListArray.from_arrays(
        pa.array(tokens.offsets.astype(np.int32)),
        pa.array(tokens.ids),
        type=schema.field("tokens").type,
    )
    columns = {
        "doc_id": batch.column("doc_id"),
        "source": batch.column("source"),
        "n_tokens": pa.array(np.diff(tokens.offsets).astype(np.int32)),
        "tokens": lists,
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
