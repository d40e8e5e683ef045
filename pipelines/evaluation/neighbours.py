"""The neighbours of sampled documents in the whole corpus, by their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import floor, sqrt
from typing import TYPE_CHECKING

import numpy as np

from strata.pipelines.evaluation.sample import (
    Disposition,
    FingerprintRows,
    Sample,
    fingerprint_rows,
    sampling_hash,
)
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost
from strata.pipelines.kernels.banding import SIGNATURE_BYTES
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.kernels.runs import run_starts
from strata.storage.contracts.options import StorageOptions
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "CHECKED",
    "MARGIN",
    "Candidates",
    "NeighbourTask",
    "Neighbours",
    "agreement",
    "find_neighbours",
]

CHECKED = 4
"""Neighbours of a sampled document that are compared exactly, apart from the most similar one."""
MARGIN = 0.1
"""How far below the threshold a document still counts as a near miss."""
# A pair at the threshold agrees in fewer places in 1 of 30,000 cases.
ERRORS = 4
WAITING_PAIRS = 500_000
_LAST = np.uint64(2**64 - 1)


def agreement(similarity: float) -> int:
    """Places of a signature that pairs of this Jaccard similarity agree in, less four errors."""
    agree = similarity + (1 - similarity) / 256
    return floor(SIGNATURE_BYTES * agree - ERRORS * sqrt(SIGNATURE_BYTES * agree * (1 - agree)))


@dataclass(frozen=True, slots=True)
class Candidates(Columns):
    """Pairs of a member of the sample and a document, to be compared exactly: all int64[k].

    Attributes:
        member: index in the sample.
        doc_id: the other document.
        disposition: whether the ledger keeps or removes it, see Disposition.
        n_shingles: its shingles, repetitions counted.
        agree: places in which the two signatures agree.
    """

    member: np.ndarray
    doc_id: np.ndarray
    disposition: np.ndarray
    n_shingles: np.ndarray
    agree: np.ndarray

    @classmethod
    def empty(cls) -> Self:
        """No pairs."""
        return cls(*(np.empty(0, np.int64) for _ in fields(cls)))


@dataclass(slots=True)
class Neighbours:
    """What documents of the corpus have in common with a sample of n.

    Attributes:
        equal: int64[n, 2], documents with equal text by disposition, the member itself included.
        near: int64[n, 2], documents with a similar signature by disposition.
        candidates: CHECKED of the near ones for each member, chosen by hash; and the most similar
            one, even if it is only a near miss.
        counters: the cost of the search.
    """

    equal: np.ndarray
    near: np.ndarray
    candidates: Candidates
    counters: Counters

    @classmethod
    def none(cls, members: int) -> Self:
        """Neighbours before any document was compared."""
        counts = np.zeros((members, 2), np.int64)
        return cls(counts, counts.copy(), Candidates.empty(), Counters())

    def add(self, other: Neighbours, seed: int, least: int) -> None:
        """Add what another task found; a near pair agrees in at least ``least`` places."""
        self.equal += other.equal
        self.near += other.near
        self.choose([other.candidates], seed, least)
        self.counters.add(other.counters)

    def choose(self, others: Sequence[Candidates], seed: int, least: int) -> None:
        """Choose the candidates again, from the present and some other ones."""
        found = Candidates.join([self.candidates, *others])
        self.candidates = found.take(chosen_for_check(found, seed, least) | most_similar(found))


def _priority(found: Candidates, seed: int) -> np.ndarray:
    """The order in which pairs of a member are chosen for the check: uint64[k]."""
    return sampling_hash(found.doc_id, sampling_hash(found.member, seed))


def chosen_for_check(found: Candidates, seed: int, least: int) -> np.ndarray:
    """The CHECKED near pairs of each member with the smallest hash: bool[k]."""
    near = np.flatnonzero(found.agree >= least)
    priority = _priority(found.take(near), seed)
    order = near[np.lexsort((found.doc_id[near], priority, found.member[near]))]
    member = found.member[order]
    rank = np.arange(len(order)) - np.searchsorted(member, member)
    chosen = np.zeros(len(found.member), bool)
    chosen[order[rank < CHECKED]] = True
    return chosen


def most_similar(found: Candidates) -> np.ndarray:
    """The pair of each member that agrees most: bool[k]."""
    order = np.lexsort((found.doc_id, -found.agree, found.member))
    chosen = np.zeros(len(order), bool)
    chosen[order[run_starts(found.member[order])]] = True
    return chosen


@dataclass(frozen=True, slots=True)
class NeighbourTask:
    """Files of `fingerprints` to look for neighbours in.

    Attributes:
        files: the files.
        ledger: the files of the ledger.
        threshold: Jaccard similarity of duplicates.
        seed: seed of the choice of pairs.
        storage: options of the stores.
    """

    files: tuple[DataFile, ...]
    ledger: tuple[DataFile, ...]
    threshold: float
    seed: int
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _Cutoff:
    """What a pair of each of the n members of a sample must beat to be chosen as well.

    Attributes:
        priority: uint64[n], the last priority that is chosen for the check.
        agree: int64[n], places in which the most similar pair agrees.
        doc_id: int64[n], document of that pair.
    """

    priority: np.ndarray
    agree: np.ndarray
    doc_id: np.ndarray

    @classmethod
    def of(cls, found: Neighbours, seed: int, least: int) -> Self:
        """The cutoff that the present candidates set."""
        members = len(found.near)
        best = found.candidates.take(most_similar(found.candidates))
        chosen = found.candidates.take(chosen_for_check(found.candidates, seed, least))
        priority = np.zeros(members, np.uint64)
        np.maximum.at(priority, chosen.member, _priority(chosen, seed))
        priority[np.bincount(chosen.member, minlength=members) < CHECKED] = _LAST
        agree, doc_id = np.full(members, -1), np.zeros(members, np.int64)
        agree[best.member], doc_id[best.member] = best.agree, best.doc_id
        return cls(priority, agree, doc_id)

    def passed(self, found: Candidates, seed: int, least: int) -> np.ndarray:
        """Which pairs can still be chosen: bool[k]."""
        best, member = self.agree[found.member], found.member
        checked = (found.agree >= least) & (_priority(found, seed) <= self.priority[member])
        equal = (found.agree == best) & (found.doc_id < self.doc_id[member])
        passed: np.ndarray = checked | equal | (found.agree > best)
        return passed


def find_neighbours(task: NeighbourTask, sample: Sample) -> Neighbours:
    """Compare all documents of some files with the sample."""
    from strata.pipelines.kernels.signature_index import SignatureIndex

    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    lower = max(0.0, task.threshold - MARGIN)
    index = SignatureIndex(sample.rows.signature, lower, agreement(lower))
    least, seed = agreement(task.threshold), task.seed
    found = Neighbours.none(len(sample.copies))
    bar = _Cutoff.of(found, seed, least)
    waiting: list[Candidates] = []
    count = 0
    for file in task.files:
        for rows in fingerprint_rows(file, task.ledger, store):
            for pairs in index.near(rows.signature):
                told = _count(sample, rows, pairs, least, found)
                # Few pairs of a large family are ever chosen, and choosing sorts all that wait.
                waiting.append(told.take(bar.passed(told, seed, least)))
                count += len(waiting[-1].member)
                if count > WAITING_PAIRS:
                    found.choose(waiting, seed, least)
                    bar, waiting, count = _Cutoff.of(found, seed, least), [], 0
    found.choose(waiting, seed, least)
    found.counters = cost.counters(store.meter)
    return found


def _count(
    sample: Sample, rows: FingerprintRows, pairs: np.ndarray, least: int, into: Neighbours
) -> Candidates:
    """Count equal and near pairs, and return those that may be compared exactly."""
    row, member, agree = pairs.T
    disposition, members = rows.disposition[row], sample.rows
    of_removed = members.disposition[member] == Disposition.REMOVED
    # A kept document was overlooked only as a duplicate of another kept one.
    asked = of_removed | (disposition == Disposition.KEPT)
    equal = asked & (rows.content[row] == members.content[member]).all(axis=1)
    np.add.at(into.equal, (member[equal], disposition[equal]), 1)
    # Documents without a word are similar only if their bytes are equal.
    similar = asked & ~equal & (rows.n_shingles[row] > 0) & (members.n_shingles[member] > 0)
    near = similar & (agree >= least)
    np.add.at(into.near, (member[near], disposition[near]), 1)
    told = near | (similar & of_removed)
    return Candidates(member, rows.doc_id[row], disposition, rows.n_shingles[row], agree).take(told)
