"""Benchmark items as an index of n-grams: built by one task, staged in a file, read by all others.

The file has NumPy arrays: the corpus, document and number of n-grams of each item, and the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import SettingsError
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

if TYPE_CHECKING:
    from strata.pipelines.kernels.containment import ItemIndex

__all__ = [
    "BenchmarkItems",
    "IndexCounts",
    "IndexFile",
    "IndexTask",
    "read_item_index",
    "write_item_index",
]

BATCH_BYTES = 4_000_000
# A share such as 0.7 of 10 n-grams is 7 of them, though 0.7 * 10 is a little more than 7.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class IndexFile:
    """The file of an index."""

    url: Url
    storage: StorageOptions = field(compare=False)


@dataclass(frozen=True, slots=True)
class IndexTask:
    """Where the items are, and how they are indexed.

    Attributes:
        corpora: the files of each corpus.
        ngram: words in an n-gram.
        least_words: minimum number of words of an item.
        share: share of an item's n-grams that a document must have.
        limit: maximum number of n-grams of all items together.
        target: the file to write.
    """

    corpora: tuple[tuple[str, ...], ...]
    ngram: int
    least_words: int
    share: float
    limit: int
    target: IndexFile


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """How much is in an index, and how many items are not because they are too short."""

    items: int
    too_short: int
    ngrams: int
    counters: Counters


@dataclass(frozen=True, slots=True)
class BenchmarkItems:
    """The items of an index.

    Attributes:
        corpus: int32[m], index of the corpus among those of the settings.
        doc_id: int64[m], ``doc_id`` in that corpus.
        ngrams: int32[m], number of its distinct n-grams.
        index: their n-grams.
    """

    corpus: NDArray[np.int32]
    doc_id: NDArray[np.int64]
    ngrams: NDArray[np.int32]
    index: ItemIndex


@dataclass(frozen=True, slots=True)
class _Part:
    """Items of one batch that are long enough.

    Attributes:
        doc_id: int64[m], their documents.
        words: int64[m], the number of their words.
        item: int32[p], the item of each n-gram, from 0 on.
        ngram: uint64[p], the distinct n-grams of each item.
        too_short: how many items of the batch are too short.
    """

    doc_id: NDArray[np.int64]
    words: NDArray[np.int64]
    item: NDArray[np.int32]
    ngram: NDArray[np.uint64]
    too_short: int


def write_item_index(task: IndexTask) -> IndexCounts:
    """Build the index of all items and write it.

    Raises:
        SettingsError: the items have more n-grams than ``limit``.
    """
    cost, store = TaskCost(), MeteredStore(open_store(task.target.storage))
    parts: list[_Part] = []
    corpus: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    ngrams = 0
    for number, urls in enumerate(task.corpora):
        for part in _parts(task, urls, store):
            ngrams += len(part.ngram)
            _check(ngrams, task.limit)
            parts.append(part)
            corpus.append(np.full(len(part.doc_id), number, np.int32))
    too_short = sum(part.too_short for part in parts)
    arrays = _arrays(task, parts)
    arrays["corpus"] = np.concatenate(corpus)
    with store.create(task.target.url) as sink:
        np.savez(sink, allow_pickle=False, **arrays)
    return IndexCounts(len(arrays["corpus"]), too_short, ngrams, cost.counters(store.meter))


@lru_cache(maxsize=1)
def read_item_index(file: IndexFile) -> BenchmarkItems:
    """Read an index; a process caches the one that it read last."""
    from strata.pipelines.kernels.containment import item_index

    store = open_store(file.storage)
    with store.open_input(file.url) as source, np.load(source, allow_pickle=False) as arrays:
        index = item_index(arrays["ngram"], arrays["item"], arrays["length"], arrays["needed"])
        return BenchmarkItems(arrays["corpus"], arrays["doc_id"], arrays["ngrams"], index)


def _parts(task: IndexTask, urls: tuple[str, ...], store: Store) -> Iterator[_Part]:
    for url in urls:
        for batch in read_batches(store, Url.parse(url), ["doc_id", "text"], None, BATCH_BYTES):
            if batch.num_rows:
                yield _part(task, batch)


def _part(task: IndexTask, batch: pa.RecordBatch) -> _Part:
    # The driver imports this module to ship tasks, but only workers need numba.
    from strata.pipelines.kernels.minhash import sketch
    from strata.pipelines.kernels.shingle_sets import shingle_sets

    text = batch.column("text")
    # A shingle of one word is a word.
    words = sketch(text, 1).n_shingles
    chosen = words >= task.least_words
    found = shingle_sets(text.filter(pa.array(chosen)), task.ngram)
    counts = np.diff(found.offsets)
    return _Part(
        doc_id=batch.column("doc_id").to_numpy()[chosen],
        words=words[chosen],
        item=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        ngram=found.hashes.copy(),
        too_short=int(len(chosen) - chosen.sum()),
    )


def _check(ngrams: int, limit: int) -> None:
    if ngrams > limit:
        raise SettingsError(
            f"the items in dedup.decontaminate have more than {limit:,} n-grams, which is "
            "dedup.contain_limit",
            hint="raise it (every worker holds about 25 bytes for each), or name fewer corpora",
        )


def _arrays(task: IndexTask, parts: list[_Part]) -> dict[str, NDArray[np.generic]]:
    """The arrays of an index; empties the list of parts, so that memory holds them only once."""
    items = np.cumsum([0, *(len(part.doc_id) for part in parts)])
    doc_id = np.concatenate([np.empty(0, np.int64), *(part.doc_id for part in parts)])
    words = np.concatenate([np.empty(0, np.int64), *(part.words for part in parts)])
    ends = np.cumsum([0, *(len(part.ngram) for part in parts)])
    ngram, item = np.empty(ends[-1], np.uint64), np.empty(ends[-1], np.int32)
    while parts:
        part, first = parts.pop(), items[len(parts)]
        here = slice(ends[len(parts)], ends[len(parts) + 1])
        ngram[here], item[here] = part.ngram, part.item + np.int32(first)
    counts = np.bincount(item, minlength=len(doc_id))
    # Items come in ascending order, and a stable sort keeps that order within each n-gram.
    order = np.argsort(ngram, kind="stable")
    return {
        "ngram": ngram[order],
        "item": item[order],
        "doc_id": doc_id,
        "ngrams": counts.astype(np.int32),
        "length": np.minimum(words, task.ngram).astype(np.int32),
        "needed": np.maximum(1, np.ceil(task.share * counts - ROUNDING)).astype(np.int32),
    }
