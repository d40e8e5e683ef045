"""Skewed keys: those of so many documents that one reducer would still be busy after all others.

A sample finds them. Their first hubs are found in a pass or two over the fingerprints, and given to
the tasks that make the rows (see :mod:`strata.pipelines.kernels.hubs`). The sample decides only
where documents are compared, never which edges are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.dedup.band_rows import KeyedRows, KeyKind, RowTask, keyed_rows, kind_of
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import most_differing
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.kernels.hubs import NO_HUBS, Hubs
from strata.pipelines.kernels.runs import run_starts
from strata.storage.stores.opening import open_store

__all__ = ["SkewPolicy", "find_hubs"]

# A pass costs a thirtieth of the shuffle; after a few, the documents left under a key are no longer
# one family of near-duplicates.
MAX_PASSES = 4


@dataclass(frozen=True, slots=True)
class SkewPolicy:
    """Which keys count as skewed, and how large a sample finds them.

    Attributes:
        share: a key is skewed from 1 in ``share`` documents on. A document has some 25 rows, so
            any other key has fewer rows than the mean of a partition, as long as there are no more
            than 25 * share partitions.
        least: fewest documents of a skewed key; sorting fewer is faster than looking for them.
        sample: about how many documents are in the sample.
        sample_tasks: most tasks that read for the sample.
    """

    share: int = 256
    least: int = 100_000
    sample: int = 16_384
    sample_tasks: int = 64


@dataclass(frozen=True, slots=True)
class _Sample(Columns):
    """Rows of some documents: int64[n], uint64[n, SKETCH_WORDS]."""

    keys: np.ndarray
    sketches: np.ndarray

    def frequent(self, least: float) -> np.ndarray:
        """Keys that ``least`` of the rows or more have, ascending."""
        keys, counts = np.unique(self.keys, return_counts=True)
        return keys[counts >= least]


@dataclass(frozen=True, slots=True)
class _NextHubs(Columns):
    """For some skewed keys, the smallest document that joined no hub: 2 x int64[m], u64[m, w]."""

    place: np.ndarray
    doc_ids: np.ndarray
    sketches: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[_NextHubs]) -> _NextHubs:
        """The smallest documents of all parts."""
        nothing = np.empty(0, np.int64)
        none = cls(nothing, nothing, np.empty((0, SKETCH_WORDS), np.uint64))
        found = cls.join([none, *parts])
        order = np.lexsort((found.doc_ids, found.place))
        return found.take(order[run_starts(found.place[order])])


def find_hubs(
    context: StageContext,
    tasks: Sequence[RowTask],
    documents: int,
    threshold: float,
    policy: SkewPolicy,
) -> Hubs:
    """The first hubs of the skewed keys; none where no key is skewed.

    Args:
        context: the run.
        tasks: all fingerprints that are compared.
        documents: how many there are.
        threshold: similarity from which on a document joins a hub.
        policy: which keys count as skewed.
    """
    if documents < policy.least:
        return NO_HUBS
    context.progress.start("dedup", "look for heavy keys", 0)
    sample = _sample(context, tasks, documents, policy)
    drawn = np.count_nonzero(kind_of(sample.keys) == KeyKind.EQUAL)
    least = max(policy.least / documents, 1 / policy.share) * drawn
    most = np.zeros(len(KeyKind), np.int64)
    most[KeyKind.SIMILAR] = most_differing(threshold)
    hubs = Hubs.unknown(sample.frequent(least), most)
    sample = sample.take(np.isin(sample.keys, hubs.keys))
    for _ in range(MAX_PASSES):
        still = np.searchsorted(hubs.keys, sample.frequent(least))
        if not len(still):
            break
        first = _next_hubs(context, tasks, hubs, still)
        hubs = hubs.with_hubs(first.place, first.doc_ids, first.sketches)
        sample = _unmatched(sample, hubs, first)
    context.progress.finish()
    return hubs


def _sample(
    context: StageContext, tasks: Sequence[RowTask], documents: int, policy: SkewPolicy
) -> _Sample:
    """The rows of some documents, spread evenly over evenly chosen tasks."""
    number = min(len(tasks), policy.sample_tasks)
    chosen = [tasks[place * len(tasks) // number] for place in range(number)]
    every = max(1, documents * number // len(tasks) // policy.sample)
    storage = context.storage_options

    def draw(task: RowTask) -> list[_Sample]:
        rows = keyed_rows(task, open_store(storage), every)
        return [_Sample(keyed.keys, keyed.sketches) for keyed in rows]

    drawn = run_tasks(context.spark(), draw, chosen)
    return _Sample.join([part for parts in drawn for part in parts])


def _next_hubs(
    context: StageContext, tasks: Sequence[RowTask], hubs: Hubs, still: np.ndarray
) -> _NextHubs:
    """The next hub of the keys at the places ``still``: the smallest document that joins no hub."""
    storage = context.storage_options

    def seek(task: RowTask) -> _NextHubs:
        rows = keyed_rows(task, open_store(storage))
        return _NextHubs.of([_first_unmatched(keyed, hubs, still) for keyed in rows])

    return _NextHubs.of(run_tasks(context.spark(), seek, tasks))


def _first_unmatched(keyed: KeyedRows, hubs: Hubs, still: np.ndarray) -> _NextHubs:
    joined = hubs.join(keyed.keys, keyed.doc_ids, keyed.sketches)
    alone = np.flatnonzero((joined.hub < 0) & np.isin(joined.key, still))
    return _NextHubs.of([_NextHubs(joined.key[alone], keyed.doc_ids[alone], keyed.sketches[alone])])


def _unmatched(sample: _Sample, hubs: Hubs, first: _NextHubs) -> _Sample:
    """The rows that do not join the newest hubs; on the driver, so without numba."""
    newest = np.full(len(hubs.keys), -1)
    newest[first.place] = np.arange(len(first.place))
    hub = newest[np.searchsorted(hubs.keys, sample.keys)]
    differing = np.bitwise_count(sample.sketches ^ first.sketches[hub]).sum(axis=1)
    # A key without a newest hub was dropped in an earlier pass.
    return sample.take((hub >= 0) & (differing > hubs.most[kind_of(sample.keys)]))
