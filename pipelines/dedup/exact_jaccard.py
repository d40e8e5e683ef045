"""The exact Jaccard similarity of chosen pairs, from the shingles of only those documents.

Pairs that the driver holds take two rounds of tasks: the first reads the row groups with a document
in question and stages its set of shingle hashes, the second compares the sets. More pairs go
through a shuffle, to which the sets of shingle hashes are sent as rows and in which they are
compared. Either way text stays in the tasks that read it.

A row of the shuffle is (center, doc_id, level, hashes): the set of a document, on its way to the
document that it is compared with. The center has the smallest id of its star, so it is the first of
its sorted rows. Of a set of more than MAX_HASHES only the hashes below 2^(64 - level) are sent:
both sides of a pair are then cut to the same level, and the similarity is that of a sample of
65,536 shingles or more, with a standard error of at most 0.002.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import ConflictError
from strata.pipelines.execution.data_files import DataFile, group_files
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.execution.staging import StagedWriter
from strata.pipelines.execution.tasks import TaskCost, run_tasks, task_stem
from strata.pipelines.tables.texts import wanted_texts
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

if TYPE_CHECKING:
    from strata.pipelines.kernels.shingle_sets import ShingleSets

__all__ = [
    "MAX_HASHES",
    "ROW_COLUMNS",
    "WANTED_COLUMNS",
    "CandidatePairs",
    "compared_rows",
    "exact_jaccard",
    "located",
    "set_rows",
]

TASKS_PER_CORE = 2
HASH_BYTES = 8_000_000
# Upper bound of the sets that a comparing task holds, unless a single pair exceeds it.
TASK_BYTES = 128_000_000
STAGED = pa.schema([("doc_id", pa.int64()), ("hashes", pa.large_list(pa.uint64()))])
MAX_HASHES = 1 << 17
ROW_BYTES = 8_000_000
WANTED_COLUMNS = "file int, center long, doc_id long"
ROW_COLUMNS = "center long, doc_id long, level int, hashes binary"
_WANTED = pa.schema([("file", pa.int32()), ("center", pa.int64()), ("doc_id", pa.int64())])
_ROWS = pa.schema(
    [
        ("center", pa.int64()),
        ("doc_id", pa.int64()),
        ("level", pa.int32()),
        ("hashes", pa.binary()),
    ]
)
_COMPARED = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("jaccard", pa.float64())])


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
    """Files of `documents`, and the documents in them whose shingles are needed."""

    number: int
    files: tuple[DataFile, ...]
    wanted: np.ndarray
    ngram: int
    folder: Url
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _CompareTask:
    """Pairs to compare, and the staged files that hold their sets."""

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
    context: StageContext, texts: Sequence[DataFile], pairs: CandidatePairs, counters: Counters
) -> np.ndarray:
    """Jaccard similarity of the sets of word n-grams of each pair: float64[n].

    Args:
        context: the corpus.
        texts: the files that hold the texts.
        pairs: the pairs, few enough for the driver.
        counters: the cost of the tasks is added to these.

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
    context: StageContext, texts: Sequence[DataFile], pairs: CandidatePairs
) -> list[_StageTask]:
    wanted = np.unique(np.concatenate([pairs.a, pairs.b]))
    folder = context.staging
    files = [
        file
        for file in texts
        if np.searchsorted(wanted, file.min_doc_id)
        < np.searchsorted(wanted, file.max_doc_id, side="right")
    ]
    # More tasks than cores: the documents may be spread unevenly over the files.
    number = TASKS_PER_CORE * context.spark().sparkContext.defaultParallelism
    ngram, storage = context.settings.dedup.ngram, context.storage_options
    return [
        _StageTask(place, some, wanted, ngram, folder, storage)
        for place, some in enumerate(group_files(files, number))
    ]


def _shares(pairs: CandidatePairs) -> list[np.ndarray]:
    """Indices of pairs by task; pairs that share a document go to the same task where possible."""
    order = np.lexsort((pairs.b, pairs.a))
    share = np.cumsum(8 * pairs.n_shingles[order]) // TASK_BYTES
    return np.split(order, np.flatnonzero(np.diff(share)) + 1)


def _stage(task: _StageTask) -> _StagedSets:
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    url = task.folder / f"{task_stem('shingles')}-{task.number}.parquet"
    with StagedWriter(store, url, STAGED) as file:
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


def located(
    batches: Iterator[pa.RecordBatch], texts: Sequence[DataFile]
) -> Iterator[pa.RecordBatch]:
    """Rows (center, doc_id), extended by the number of each file that may hold the document."""
    for batch in batches:
        center, doc_id = (batch.column(name).to_numpy() for name in ("center", "doc_id"))
        for number, file in enumerate(texts):
            inside = (doc_id >= file.min_doc_id) & (doc_id <= file.max_doc_id)
            if inside.any():
                numbers = np.full(int(inside.sum()), number, np.int32)
                columns = [numbers, center[inside], doc_id[inside]]
                yield pa.RecordBatch.from_arrays(columns, schema=_WANTED)


def set_rows(
    batches: Iterator[pa.RecordBatch],
    texts: Sequence[DataFile],
    ngram: int,
    store: Store,
    max_hashes: int = MAX_HASHES,
) -> Iterator[pa.RecordBatch]:
    """The sets of the documents that are asked for.

    Args:
        batches: file, center, doc_id, sorted by (file, doc_id).
        texts: the files by number.
        ngram: words in a shingle.
        store: where the files are.
        max_hashes: a larger set is cut.
    """
    for number, center, doc_id in _by_file(batches):
        for batch in wanted_texts(texts[number], np.unique(doc_id), store):
            yield from _sets_of_texts(batch, center, doc_id, ngram, max_hashes)


def _by_file(
    batches: Iterator[pa.RecordBatch],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The rows of one file after the other: number, center, doc_id."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        changes = np.flatnonzero(np.diff(batch.column("file").to_numpy())) + 1
        bounds = [0, *changes.tolist(), batch.num_rows]
        for start, stop in pairwise(bounds):
            part = batch.slice(start, stop - start)
            if not part.num_rows:
                continue
            if waiting and waiting[0].column("file")[0] != part.column("file")[0]:
                yield _joined(waiting)
                waiting = []
            waiting.append(part)
    if waiting:
        yield _joined(waiting)


def _joined(parts: Sequence[pa.RecordBatch]) -> tuple[int, np.ndarray, np.ndarray]:
    table = pa.Table.from_batches(parts)
    return table["file"][0].as_py(), table["center"].to_numpy(), table["doc_id"].to_numpy()


def _sets_of_texts(
    texts: pa.RecordBatch, center: np.ndarray, doc_id: np.ndarray, ngram: int, max_hashes: int
) -> Iterator[pa.RecordBatch]:
    from strata.pipelines.kernels.shingle_sets import shingle_sets

    found = texts.column("doc_id").to_numpy()
    level, hashes = _cut(shingle_sets(texts.column("text"), ngram), max_hashes)
    # Several centers may need the same document: it goes to each of them.
    first = np.searchsorted(doc_id, found)
    times = np.searchsorted(doc_id, found, side="right") - first
    which = np.repeat(np.arange(len(found)), times)
    place = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    wanted_by = center[np.repeat(first, times) + place]
    size = np.cumsum(pc.binary_length(hashes).to_numpy()[which])
    for part in np.split(np.arange(len(which)), np.flatnonzero(np.diff(size // ROW_BYTES)) + 1):
        rows = which[part]
        columns = [wanted_by[part], found[rows], level[rows], hashes.take(pa.array(rows))]
        yield pa.RecordBatch.from_arrays(columns, schema=_ROWS)


def _cut(sets: ShingleSets, max_hashes: int) -> tuple[np.ndarray, pa.BinaryArray]:
    """Levels, int32[n], and the hashes of each set that are below its level."""
    size = np.diff(sets.offsets)
    level = np.zeros(len(size), np.int32)
    large = size > max_hashes
    level[large] = np.ceil(np.log2(size[large] / max_hashes)).astype(np.int32)
    hashes, offsets = sets.hashes, sets.offsets
    if large.any():
        kept = _below(hashes, np.repeat(level, size))
        hashes = hashes[kept]
        offsets = np.concatenate([[0], np.cumsum(kept)])[offsets]
    bounds = pa.py_buffer((8 * offsets).astype(np.int32))
    return level, pa.BinaryArray.from_buffers(
        pa.binary(), len(size), [None, bounds, pa.py_buffer(np.ascontiguousarray(hashes))]
    )


def _below(hashes: np.ndarray, level: np.ndarray | int) -> np.ndarray:
    """Whether hashes, uint64[n], are among those of a level."""
    shifted = hashes >> (np.uint64(63) - np.asarray(level).astype(np.uint64)) >> np.uint64(1)
    below: np.ndarray = shifted == 0
    return below


def compared_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Exact similarities: a, b, jaccard, of rows sorted by (center, doc_id).

    Raises:
        ConflictError: the set of a center is missing.
    """
    last = pa.RecordBatch.from_pylist([], schema=_ROWS)
    for batch in batches:
        if not batch.num_rows:
            continue
        rows = pa.Table.from_batches([last, batch.cast(_ROWS)]).combine_chunks().to_batches()[0]
        yield _compared(rows, last.num_rows)
        # The last center may have more members in the next batch.
        is_center = rows.column("center").to_numpy() == rows.column("doc_id").to_numpy()
        last = rows.slice(int(np.flatnonzero(is_center)[-1]), 1)


def _compared(rows: pa.RecordBatch, seen: int) -> pa.RecordBatch:
    from strata.pipelines.kernels.shingle_sets import ShingleSets, jaccard

    center, doc_id, level = (rows.column(name).to_numpy() for name in ("center", "doc_id", "level"))
    is_center = center == doc_id
    place = np.maximum.accumulate(np.where(is_center, np.arange(len(center)), -1))
    member = np.flatnonzero(~is_center & (np.arange(len(center)) >= seen))
    own = place[member]
    if len(own) and (own.min() < 0 or (center[own] != center[member]).any()):
        raise ConflictError(
            "the text of a document is not in `documents`, only its fingerprint",
            hint="run `strata shard` first",
        )
    column = rows.column("hashes")
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(center) + 1]
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    hashes = data[offsets[0] : offsets[-1]].view(np.uint64)
    sets = ShingleSets((offsets.astype(np.int64) - offsets[0]) // 8, hashes)
    similarity = jaccard(sets, own, member)
    for pair in np.flatnonzero(level[own] != level[member]):
        similarity[pair] = _of_levels(sets, (own[pair], member[pair]), level)
    columns = [center[member], doc_id[member], similarity]
    return pa.RecordBatch.from_arrays([pa.array(each) for each in columns], schema=_COMPARED)


def _of_levels(sets: ShingleSets, pair: tuple[int, int], level: np.ndarray) -> float:
    """Similarity of two sets that were cut to different levels: a rare case of large sets."""
    deepest = int(max(level[pair[0]], level[pair[1]]))
    a, b = (sets.hashes[sets.offsets[each] : sets.offsets[each + 1]] for each in pair)
    a, b = a[_below(a, deepest)], b[_below(b, deepest)]
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(1, len(a) + len(b) - shared)
