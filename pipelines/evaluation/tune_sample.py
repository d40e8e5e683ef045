"""The sample on which settings are compared: documents drawn at random, and all similar ones.

For any settings, a pair of which one document was drawn is in the sample with both. In a family so
large that a drawn document has more than MAX_NEIGHBOURS similar ones, those with the smallest
hashes are taken, the same ones for every drawn member.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from strata.pipelines.dedup.exact_jaccard import CandidatePairs, exact_jaccard
from strata.pipelines.evaluation.neighbours import agreement
from strata.pipelines.evaluation.sample import (
    AuditSampleTask,
    FingerprintRows,
    fingerprint_rows,
    sample_documents,
    sampling_hash,
)
from strata.pipelines.execution.data_files import DataFile, data_files, group_files
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.tables.texts import own_texts
from strata.storage.contracts.options import StorageOptions
from strata.storage.stores.opening import open_store

if TYPE_CHECKING:
    from typing import Self

__all__ = ["TuneSample", "draw_sample"]

MAX_NEIGHBOURS = 64
# Similarities this far below the threshold matter to none of the settings that are tried.
DEPTH = 0.2
WAITING_ROWS = 50_000
TASKS_PER_CORE = 2


@dataclass(frozen=True, slots=True)
class TuneSample:
    """Documents with at least one word, in the order of their ids, and their similar pairs.

    Attributes:
        rows: n documents.
        drawn: bool[n], whether a document was drawn itself.
        left: int64[m], the first document of each pair, as an index into ``rows``.
        right: int64[m], the second one.
        jaccard: float64[m], exact similarities.
    """

    rows: FingerprintRows
    drawn: np.ndarray
    left: np.ndarray
    right: np.ndarray
    jaccard: np.ndarray


@dataclass(frozen=True, slots=True)
class _NearRows:
    """Documents that are similar to a member of a sample; one may be listed for several members."""

    member: np.ndarray
    rows: FingerprintRows

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """All rows of some parts."""
        member = np.concatenate([np.empty(0, np.int64), *(part.member for part in parts)])
        rows = [FingerprintRows.empty(), *(part.rows for part in parts)]
        return cls(member, FingerprintRows.join(rows))

    def top_k(self) -> Self:
        """The MAX_NEIGHBOURS documents with the smallest hashes for each member."""
        order = np.lexsort((self.rows.doc_id, sampling_hash(self.rows.doc_id, 0), self.member))
        member = self.member[order]
        kept = order[np.arange(len(order)) - np.searchsorted(member, member) < MAX_NEIGHBOURS]
        return type(self)(self.member[kept], self.rows.take(kept))


@dataclass(frozen=True, slots=True)
class _NearTask:
    files: tuple[DataFile, ...]
    lowest: float
    storage: StorageOptions
    waiting_rows: int


def draw_sample(
    context: StageContext, documents: int, waiting_rows: int = WAITING_ROWS
) -> TuneSample:
    """Draw about n documents, and find all that are similar to them.

    Args:
        context: the corpus.
        documents: how many are drawn; similar ones are added to these.
        waiting_rows: similar documents that a task gathers before it thins them.
    """
    lowest = max(0.0, context.settings.dedup.threshold - DEPTH)
    files = context.corpus.table("fingerprints").files()
    groups = group_files(
        data_files(files),
        TASKS_PER_CORE * context.spark().sparkContext.defaultParallelism,
    )
    share = min(1.0, documents / max(1, sum(file.rows for file in files)))
    seed = int((context.corpus.table("documents").content_key or "0")[:16], 16)
    storage = context.storage_options
    drawing = [AuditSampleTask(some, (), (share, share), seed, storage) for some in groups]
    context.progress.start("tune", "draw documents", len(drawing))
    drawn = _join(run_tasks(context.spark(), sample_documents, drawing))
    shared = context.spark().sparkContext.broadcast(drawn.signature)

    def near(task: _NearTask) -> _NearRows:
        return _near_rows(task, shared.value)

    context.progress.start("tune", "look for neighbours", len(groups))
    tasks = [_NearTask(some, lowest, storage, waiting_rows) for some in groups]
    found = _NearRows.join(run_tasks(context.spark(), near, tasks)).top_k()
    rows = _join([drawn, found.rows])
    context.progress.start("tune", "compare texts", 0)
    ((left, right),) = run_tasks(context.spark(), _similar_pairs, [(rows.signature, lowest)])
    size = rows.n_shingles
    pairs = CandidatePairs(rows.doc_id[left], rows.doc_id[right], size[left] + size[right])
    texts = own_texts(context.corpus.table("documents"))
    jaccard = exact_jaccard(context, texts, pairs, Counters())
    context.progress.finish()
    return TuneSample(rows, np.isin(rows.doc_id, drawn.doc_id), left, right, jaccard)


def _join(parts: list[FingerprintRows]) -> FingerprintRows:
    """Documents with at least one word, each once, in the order of their ids."""
    rows = FingerprintRows.join([FingerprintRows.empty(), *parts])
    rows = rows.take(rows.n_shingles > 0)
    return rows.take(np.unique(rows.doc_id, return_index=True)[1])


def _near_rows(task: _NearTask, signatures: np.ndarray) -> _NearRows:
    found, count = _NearRows.join([]), 0
    waiting: list[_NearRows] = []
    for part in _near_batches(task, signatures):
        waiting.append(part)
        count += len(part.member)
        # Thinning sorts all that was found so far, so it must not be done for every part.
        if count > max(task.waiting_rows, len(found.member)):
            found = _NearRows.join([found, *waiting]).top_k()
            waiting, count = [], 0
    return _NearRows.join([found, *waiting]).top_k()


def _near_batches(task: _NearTask, signatures: np.ndarray) -> Iterator[_NearRows]:
    from strata.pipelines.kernels.signature_index import SignatureIndex

    store = open_store(task.storage)
    index = SignatureIndex(signatures, task.lowest, agreement(task.lowest))
    for file in task.files:
        for rows in fingerprint_rows(file, (), store):
            for pairs in index.near(rows.signature):
                yield _NearRows(pairs[:, 1], rows.take(pairs[:, 0]))


def _similar_pairs(task: tuple[np.ndarray, float]) -> tuple[np.ndarray, np.ndarray]:
    """All similar pairs of the sample, each once, as indices of rows."""
    from strata.pipelines.kernels.signature_index import SignatureIndex

    signatures, lowest = task
    parts = [np.empty((0, 3), np.int64)]
    parts += SignatureIndex(signatures, lowest, agreement(lowest)).near(signatures)
    pairs = np.concatenate(parts)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return pairs[:, 0], pairs[:, 1]
