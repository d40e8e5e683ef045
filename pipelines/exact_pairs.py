"""The exact Jaccard similarity of chosen pairs, from the shingles of only those documents.

One round of tasks reads the row groups that hold a wanted document and stages its set of shingle
hashes; a second round compares the sets. Text stays in the tasks that read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.errors import ConflictError
from strata.pipelines.dedup_rows import group_files
from strata.pipelines.stage import Counters, StageContext
from strata.pipelines.staged_file import StagedFile
from strata.pipelines.tasks import TaskCost, run_tasks, task_stem
from strata.pipelines.text_files import TextFile, wanted_texts
from strata.storage.maintenance import STAGING
from strata.storage.scan import read_batches
from strata.storage.store import MeteredStore, StorageOptions, Store, open_store
from strata.storage.url import Url

if TYPE_CHECKING:
    from strata.pipelines.kernels.shingle_sets import ShingleSets

__all__ = ["CandidatePairs", "exact_jaccard"]

TASKS_PER_CORE = 2
HASH_BYTES = 8_000_000
# Sets that a comparing task holds at most, as far as one pair allows.
TASK_BYTES = 128_000_000
STAGED = pa.schema([("doc_id", pa.int64()), ("hashes", pa.large_list(pa.uint64()))])


@dataclass(frozen=True, slots=True)
class CandidatePairs:
    """Pairs of documents to compare, all int64[n].

    Attributes:
        a: doc_id.
        b: doc_id.
        n_shingles: shingles of both together, repetitions counted.
    """

    a: np.ndarray
    b: np.ndarray
    n_shingles: np.ndarray


@dataclass(frozen=True, slots=True)
class _StageTask:
    """Files of `documents`, and the documents in them whose shingles are wanted."""

    number: int
    files: tuple[TextFile, ...]
    wanted: np.ndarray
    ngram: int
    folder: Url
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _CompareTask:
    """Pairs to compare, and the staged files in which their sets are."""

    urls: tuple[str, ...]
    a: np.ndarray
    b: np.ndarray
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _StagedSets:
    url: str | None
    counters: Counters


@dataclass(frozen=True, slots=True)
class _Compared:
    similarity: np.ndarray
    counters: Counters


def exact_jaccard(
    context: StageContext, texts: Sequence[TextFile], pairs: CandidatePairs, counters: Counters
) -> np.ndarray:
    """Jaccard similarity of the sets of word n-grams of each pair: float64[n].

    Args:
        context: the corpus.
        texts: where the texts are.
        pairs: few enough for the driver.
        counters: what the tasks cost is added here.

    Raises:
        ConflictError: the text of a document is not there.
    """
    if not len(pairs.a):
        return np.empty(0)
    staged = run_tasks(context.spark(), _stage, _stage_tasks(context, texts, pairs))
    urls = tuple(each.url for each in staged if each.url is not None)
    tasks = [
        _CompareTask(urls, pairs.a[part], pairs.b[part], context.storage_options)
        for part in _shares(pairs)
    ]
    compared = run_tasks(context.spark(), _compare, tasks)
    for cost in (*(each.counters for each in staged), *(each.counters for each in compared)):
        counters.add(cost)
    for url in urls:
        context.store.delete(Url.parse(url))
    similarity = np.empty(len(pairs.a))
    for part, result in zip(_shares(pairs), compared, strict=True):
        similarity[part] = result.similarity
    return similarity


def _stage_tasks(
    context: StageContext, texts: Sequence[TextFile], pairs: CandidatePairs
) -> list[_StageTask]:
    wanted = np.unique(np.concatenate([pairs.a, pairs.b]))
    folder = Url.parse(context.settings.warehouse) / STAGING / context.run_id
    files = [
        file
        for file in texts
        if np.searchsorted(wanted, file.min_doc_id)
        < np.searchsorted(wanted, file.max_doc_id, side="right")
    ]
    # More tasks than cores: what is wanted may be anywhere.
    number = TASKS_PER_CORE * context.spark().sparkContext.defaultParallelism
    ngram, storage = context.settings.dedup.ngram, context.storage_options
    return [
        _StageTask(place, some, wanted, ngram, folder, storage)
        for place, some in enumerate(group_files(files, number))
    ]


def _shares(pairs: CandidatePairs) -> list[np.ndarray]:
    """Indices of pairs by task, so that pairs with a document in common come together."""
    order = np.lexsort((pairs.b, pairs.a))
    share = np.cumsum(8 * pairs.n_shingles[order]) // TASK_BYTES
    return np.split(order, np.flatnonzero(np.diff(share)) + 1)


def _stage(task: _StageTask) -> _StagedSets:
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    url = task.folder / f"{task_stem('shingles')}-{task.number}.parquet"
    with StagedFile(store, url, STAGED) as file:
        for batch in _wanted_sets(task, store):
            file.write(pa.Table.from_batches([batch]))
    return _StagedSets(file.url, cost.counters(store.meter))


def _wanted_sets(task: _StageTask, store: Store) -> Iterator[pa.RecordBatch]:
    from strata.pipelines.kernels.shingle_sets import shingle_sets

    for file in task.files:
        for batch in wanted_texts(file, task.wanted, store):
            sets = shingle_sets(batch.column("text"), task.ngram)
            hashes = pa.LargeListArray.from_arrays(pa.array(sets.offsets), pa.array(sets.hashes))
            yield pa.RecordBatch.from_arrays([batch.column("doc_id"), hashes], schema=STAGED)


def _compare(task: _CompareTask) -> _Compared:
    from strata.pipelines.kernels.shingle_sets import jaccard

    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    wanted = np.unique(np.concatenate([task.a, task.b]))
    sets = _read_sets(task.urls, wanted, store)
    left, right = np.searchsorted(wanted, task.a), np.searchsorted(wanted, task.b)
    return _Compared(jaccard(sets, left, right), cost.counters(store.meter))


def _read_sets(urls: Sequence[str], wanted: np.ndarray, store: Store) -> ShingleSets:
    """The staged sets of documents, in the order of their ids."""
    from strata.pipelines.kernels.shingle_sets import ShingleSets

    found = [STAGED.empty_table()]
    for url in urls:
        for batch in read_batches(store, Url.parse(url), STAGED.names, None, HASH_BYTES):
            keep = np.isin(batch.column("doc_id").to_numpy(), wanted)
            found.append(pa.Table.from_batches([batch.filter(pa.array(keep))], STAGED))
    table = pa.concat_tables(found).sort_by("doc_id").combine_chunks()
    if not np.array_equal(table["doc_id"].to_numpy(), wanted):
        missing = np.setdiff1d(wanted, table["doc_id"].to_numpy())
        raise ConflictError(
            f"the texts of {len(missing):,} documents of `fingerprints` are not in `documents`, "
            f"for example of doc_id {missing[0]}",
            hint="run `strata shard` first",
        )
    hashes = table["hashes"].combine_chunks()
    return ShingleSets(hashes.offsets.to_numpy(), hashes.values.to_numpy())
