"""The text pass of passage deduplication: passages of the survivors as rows in staged files.

A row is (key, check, doc_id, place, start, stop): hashes of the words of a passage, and where it
is. No text leaves the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa

from strata.pipelines.document_rows import rows_between
from strata.pipelines.ledger_lookup import LedgerFile
from strata.pipelines.stage import Counters
from strata.pipelines.staged_rows import StagedFile, write_staged
from strata.pipelines.tasks import TaskCost, task_stem
from strata.pipelines.token_task import Part, TokenResult, survivors
from strata.settings import Passage
from strata.storage.store import MeteredStore, StorageOptions, Store, open_store
from strata.storage.url import Url

__all__ = ["ROW_SCHEMA", "PassageKind", "PassageRows", "PassageTask", "find_passage_rows"]

ROW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("check", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("stop", pa.int32(), nullable=False),
    ]
)


class PassageKind(StrEnum):
    """What a pass over the texts looks for."""

    LINE = "line"
    PARAGRAPH = "paragraph"
    ANCHOR = "anchor"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class PassageTask:
    """Row groups of `documents`, and what is looked for in them.

    Attributes:
        parts: the row groups.
        ledger: the files of the ledger: only survivors are read.
        kind: kind of passages.
        words: least words of a line or paragraph; words of a run.
        anchors: for runs: the files with the places of repeated anchors.
        folder: where the rows are staged.
        storage: options of the store.
    """

    parts: tuple[Part, ...]
    ledger: tuple[LedgerFile, ...]
    kind: PassageKind
    words: int
    anchors: tuple[LedgerFile, ...]
    folder: Url
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class PassageRows:
    """The rows of one task; no file where it found none."""

    file: StagedFile | None
    documents: int
    removed: int
    counters: Counters


def find_passage_rows(task: PassageTask) -> PassageRows:
    """Write the passages of the survivors of some row groups."""
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    read = TokenResult()
    batches = (rows for part in task.parts for rows in _part_rows(task, part, store, read))
    file = write_staged(store, task.folder, task_stem(task.kind), ROW_SCHEMA, batches)
    return PassageRows(file, read.rows_in, read.removed, cost.counters(store.meter))


def _part_rows(
    task: PassageTask, part: Part, store: Store, read: TokenResult
) -> Iterator[pa.RecordBatch]:
    # A driver makes tasks known to workers, but only these have need of numba.
    from strata.pipelines.kernels.passages import find_passages
    from strata.pipelines.kernels.substrings import find_anchors, find_runs

    low, high = part.min_doc_id, part.max_doc_id
    anchors = rows_between(task.anchors, ["place"], low, high, store)
    for batch in survivors((part,), task.ledger, store, read, columns=["doc_id", "text"]):
        doc_ids, texts = batch.column("doc_id").to_numpy(), batch.column("text")
        if task.kind is PassageKind.ANCHOR:
            found = find_anchors(texts, task.words)
        elif task.kind is PassageKind.RUN:
            rows, bounds = anchors.of(doc_ids)
            found = find_runs(texts, task.words, bounds, anchors.columns["place"][rows])
        else:
            found = find_passages(texts, Passage(task.kind), task.words)
        columns = (found.check, doc_ids[found.text], found.place, found.start, found.stop)
        yield pa.RecordBatch.from_arrays(
            [pa.array(found.key.view(np.int64)), *map(pa.array, columns)], schema=ROW_SCHEMA
        )
