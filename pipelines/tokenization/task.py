"""The tokenize pass in a worker: read, drop duplicates, encode, write `tokens` and `clean`.

Engines are imported by the functions that run in a worker, as kernels are in the shard pass.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.tables.survivors import SurvivorCounts, cut_survivors
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, RowWriter, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer

if TYPE_CHECKING:
    from strata.pipelines.tokenization.engine import Engine

__all__ = ["TokenResult", "TokenTask", "run_token_task", "token_rows"]


@dataclass(frozen=True, slots=True)
class TokenTask:
    """What one task encodes, and where it writes; `clean` is written where it has a folder.

    Where ``only`` is given, int64[n], ascending, all other documents are ignored.
    """

    parts: tuple[RowGroups, ...]
    ledger: tuple[DataFile, ...]
    cuts: tuple[DataFile, ...]
    storage: StorageOptions
    folders: Mapping[str, Url]
    layouts: Mapping[str, ParquetLayout]
    check_documents: int
    only: np.ndarray | None = None


@dataclass(slots=True)
class TokenResult:
    """What a task read, dropped and wrote."""

    survivors: SurvivorCounts = field(default_factory=SurvivorCounts)
    checked: int = 0
    encode_cpu_seconds: float = 0.0
    engine: str = ""
    files: list[WrittenFile] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


def run_token_task(task: TokenTask, spec: TokenizerSpec) -> TokenResult:
    """Encode the survivors of some row groups.

    Args:
        task: what to read and where to write.
        spec: the tokenizer; separate from the tasks, so that Spark ships its megabytes only once.

    Raises:
        BalanceError: the engine and the reference disagree on a document of the sample.
    """
    from strata.pipelines.tokenization.engine import Engine

    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    engine, stem = Engine.open(spec), task_stem("tokenize")
    result = TokenResult(engine=engine.encoder.name)
    tokens = text_bytes = 0
    with ExitStack() as stack:
        writers: dict[str, RowWriter] = {}
        for table, folder in task.folders.items():
            writer = table_writer(store, folder, table, task.layouts[table], stem)
            writers[table] = stack.enter_context(writer)
        for batch in cut_survivors(
            task.parts, task.ledger, task.cuts, store, result.survivors, task.only
        ):
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


def _check(engine: Engine, batch: pa.RecordBatch, task: TokenTask, result: TokenResult) -> None:
    from strata.pipelines.tokenization.engine import check_equal

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
