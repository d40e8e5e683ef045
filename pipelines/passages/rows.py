"""The rows of passage deduplication: written by the text pass, then scanned for repetitions.

A row is (key, check, doc_id, place, start, stop): hashes of the words of a passage, and where it
is. No text leaves the worker. A passage repeats an earlier one where it has the same key and check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.staging import StagedFile, write_staged
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.kernels.runs import run_starts
from strata.pipelines.tables.removals import rows_between
from strata.pipelines.tables.survivors import SurvivorCounts, survivors
from strata.settings import Passage
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

__all__ = [
    "REPEAT_SCHEMA",
    "ROW_SCHEMA",
    "PassageKind",
    "PassageRows",
    "PassageTask",
    "RepeatScanner",
    "find_passage_rows",
    "repeat_batch",
    "repeat_matrix",
]

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
REPEAT_SCHEMA = pa.schema(
    [
        pa.field(name, pa.int64(), nullable=False)
        for name in (
            *("doc_id", "place", "start", "stop"),
            *("first_id", "first_place", "first_start"),
        )
    ]
)
"""A repeated passage and the first one with its words; the columns of `joining.RunJoiner`."""
Columns = dict[str, np.ndarray]
COLUMNS = ("key", "check", "doc_id", "place", "start", "stop")


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
        kind: the kind of passages.
        words: minimum words of a line or paragraph; words of a run.
        anchors: for runs, the files with the places of repeated anchors.
        folder: where the rows are staged.
        storage: options of the store.
    """

    parts: tuple[RowGroups, ...]
    ledger: tuple[DataFile, ...]
    kind: PassageKind
    words: int
    anchors: tuple[DataFile, ...]
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
    read = SurvivorCounts()
    batches = (rows for part in task.parts for rows in _part_rows(task, part, store, read))
    file = write_staged(store, task.folder, task_stem(task.kind), ROW_SCHEMA, batches)
    return PassageRows(file, read.rows_in, read.removed, cost.counters(store.meter))


def _part_rows(
    task: PassageTask, part: RowGroups, store: Store, read: SurvivorCounts
) -> Iterator[pa.RecordBatch]:
    # The driver imports this module to ship tasks, but only workers need numba.
    from strata.pipelines.kernels.passages import find_passages
    from strata.pipelines.kernels.substrings import find_anchors, find_runs

    low, high = part.file.min_doc_id, part.file.max_doc_id
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


class RepeatScanner:
    """Finds repetitions in rows sorted by (key, doc_id, place), cut into batches anywhere.

    The first row of a key represents it. A later row repeats it where its check is equal too,
    unless both are in one document and overlap.

    Args:
        reach: passages of one document at least this many places apart do not overlap.
    """

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._first: Columns | None = None

    def feed(self, rows: Columns) -> np.ndarray:
        """Repetitions among rows, each with its first occurrence: int64[m, 7], of REPEAT_SCHEMA."""
        if not len(rows["key"]):
            return np.empty((0, len(REPEAT_SCHEMA)), np.int64)
        if self._first is not None:
            rows = {name: np.concatenate([self._first[name], rows[name]]) for name in COLUMNS}
        starts = run_starts(rows["key"])
        numbers = np.arange(len(starts))
        first = np.maximum.accumulate(np.where(starts, numbers, 0))
        self._first = {name: rows[name][first[-1:]] for name in COLUMNS}
        later = np.flatnonzero((numbers != first) & (rows["check"] == rows["check"][first]))
        first = first[later]
        apart = rows["place"][later] - rows["place"][first] >= self._reach
        wanted = apart | (rows["doc_id"][later] != rows["doc_id"][first])
        later, first = later[wanted], first[wanted]
        own = [rows[name][later] for name in ("doc_id", "place", "start", "stop")]
        firsts = [rows[name][first] for name in ("doc_id", "place", "start")]
        return np.stack([*own, *firsts], axis=1).astype(np.int64)


def repeat_batch(repeats: np.ndarray) -> pa.RecordBatch:
    """A matrix, int64[m, 7], as rows of REPEAT_SCHEMA."""
    columns = [pa.array(np.ascontiguousarray(column)) for column in repeats.T]
    return pa.RecordBatch.from_arrays(columns, schema=REPEAT_SCHEMA)


def repeat_matrix(batch: pa.RecordBatch) -> np.ndarray:
    """Rows of REPEAT_SCHEMA as int64[m, 7]."""
    return np.stack([batch.column(name).to_numpy() for name in REPEAT_SCHEMA.names], axis=1)
