"""Error bars of a ledger, from a sample of its documents and their exact Jaccard similarity.

Removed documents show how often a removal was right, kept ones what was overlooked. A sampled
document is looked up among all documents of the corpus by its signature, at a similarity so far
below the threshold that hardly any duplicate is lost; the candidates are compared by their texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from strata.pipelines.dedup.exact_jaccard import CandidatePairs, exact_jaccard
from strata.pipelines.dedup.ledger import WrittenLedger
from strata.pipelines.evaluation.intervals import (
    CONFIDENCE,
    Estimate,
    found_share,
    share_of,
    total_of,
    weighted_total,
)
from strata.pipelines.evaluation.neighbours import (
    MARGIN,
    Candidates,
    Neighbours,
    NeighbourTask,
    agreement,
    chosen_for_check,
    find_neighbours,
)
from strata.pipelines.evaluation.sample import (
    AuditSampleTask,
    Disposition,
    FingerprintRows,
    Sample,
    sample_documents,
)
from strata.pipelines.execution.data_files import (
    DataFile,
    group_files,
)
from strata.pipelines.execution.details import Audit, AuditedShare, DedupDetails
from strata.pipelines.execution.stage import Counters, StageContext, StageReport
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.texts import own_texts, reference_texts

__all__ = ["audit", "audit_unpublished"]

TASKS_PER_CORE = 2


@dataclass(frozen=True, slots=True)
class _CheckedSample:
    """A sample with the exact similarities of its candidates.

    Attributes:
        sample: the sampled documents.
        neighbours: the neighbours that were found for them.
        jaccard: float64[k], similarities of the candidates.
        threshold: similarity from which on a pair counts as duplicates.
        weight: float64[k], how many near pairs a candidate represents; 0 where it was not chosen to
            represent any.
    """

    sample: Sample
    neighbours: Neighbours
    jaccard: np.ndarray
    threshold: float
    weight: np.ndarray

    def sampled(self, disposition: Disposition) -> int:
        """Number of sampled documents with this disposition."""
        return int(self.sample.copies[self.sample.rows.disposition == disposition].sum())

    def with_duplicate(self, disposition: Disposition, similarity: float) -> int:
        """Sampled documents with another one at this similarity; for kept ones, a kept one."""
        own = self.sample.rows.disposition == disposition
        equal = self.neighbours.equal.sum(axis=1) > 1
        candidates = self.neighbours.candidates
        similar = np.zeros(len(own), bool)
        similar[candidates.member[self.jaccard >= similarity]] = True
        return int(self.sample.copies[own & (equal | similar)].sum())

    def duplicates(self, disposition: Disposition) -> list[float]:
        """Pairs of each sampled document; a pair of two removed ones counts half at each one."""
        share = np.array([1.0, 0.5])
        equal = self.neighbours.equal.copy()
        members = np.arange(len(equal))
        equal[members, self.sample.rows.disposition] -= 1
        pairs = (equal * share).sum(axis=1)
        true = self.jaccard >= self.threshold
        candidates = self.neighbours.candidates
        np.add.at(pairs, candidates.member, self.weight * true * share[candidates.disposition])
        own = self.sample.rows.disposition == disposition
        return np.repeat(pairs[own], self.sample.copies[own]).tolist()


def audit_unpublished(
    context: StageContext,
    upstream: Upstream,
    ledger: WrittenLedger,
    report: StageReport[DedupDetails],
) -> Audit | None:
    """The audit of a ledger that is not published yet; None where the settings want none."""
    if not upstream.settings.audit_documents:
        return None
    removed = sum(ledger.removed.values())
    return audit(context, upstream, ledger.removing, removed, report.key, report.counters)


def audit(
    context: StageContext,
    upstream: Upstream,
    ledger: Sequence[DataFile],
    removed: int,
    key: str,
    counters: Counters,
) -> Audit:
    """Check a ledger on a sample.

    Args:
        context: the corpus.
        upstream: the upstream state of the stage.
        ledger: the files of the ledger.
        removed: how many documents it removes.
        key: key of the ledger; it decides which documents are sampled.
        counters: the cost of the tasks is added to these.

    Returns:
        Size of the sample, and estimates as value, low and high.
    """
    elsewhere = reference_texts(upstream.references)
    if elsewhere is None:
        return Audit(not_made="another corpus has no longer the texts of its fingerprints")
    settings, own = upstream.settings, upstream.own_fingerprints
    total = sum(file.rows for file in upstream.table("fingerprints").files())
    population = {Disposition.KEPT: total - removed, Disposition.REMOVED: removed}
    seed = int(key[:16], 16)
    scope = _Scope(tuple(ledger), settings.threshold, seed)
    sample = _sample(context, scope, own, population, settings.audit_documents)
    everything = [*own, *upstream.reference_fingerprints]
    neighbours = _neighbours(context, scope, everything, sample, counters)
    texts = own_texts(upstream.table("documents")) + elsewhere
    pairs = _pairs(sample, neighbours.candidates)
    context.progress.start("dedup", "audit: compare", 0)
    jaccard = exact_jaccard(context, texts, pairs, counters)
    context.progress.finish()
    weight = _weights(neighbours, seed, agreement(settings.threshold))
    checked = _CheckedSample(sample, neighbours, jaccard, settings.threshold, weight)
    return _result(checked, population)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The ledger that is checked, the similarity of its duplicates, and the seed of the sample."""

    ledger: tuple[DataFile, ...]
    threshold: float
    seed: int


def _sample(
    context: StageContext,
    scope: _Scope,
    fingerprints: Sequence[DataFile],
    population: Mapping[Disposition, int],
    wanted: int,
) -> Sample:
    kept, removed = (
        min(1.0, wanted / max(1, population[disposition])) for disposition in Disposition
    )
    tasks = [
        AuditSampleTask(files, scope.ledger, (kept, removed), scope.seed, context.storage_options)
        for files in _file_groups(context, fingerprints)
    ]
    context.progress.start("dedup", "audit: sample", len(tasks))
    parts = run_tasks(context.spark(), sample_documents, tasks)
    context.progress.finish()
    return Sample.of(FingerprintRows.join([FingerprintRows.empty(), *parts]))


def _file_groups(
    context: StageContext, fingerprints: Sequence[DataFile]
) -> list[tuple[DataFile, ...]]:
    # The results of all tasks reach the driver at once: their size must not grow with the corpus.
    cores = context.spark().sparkContext.defaultParallelism
    return group_files(fingerprints, TASKS_PER_CORE * cores)


def _neighbours(
    context: StageContext,
    scope: _Scope,
    fingerprints: Sequence[DataFile],
    sample: Sample,
    counters: Counters,
) -> Neighbours:
    tasks = [
        NeighbourTask(files, scope.ledger, scope.threshold, scope.seed, context.storage_options)
        for files in _file_groups(context, fingerprints)
    ]
    shared = context.spark().sparkContext.broadcast(sample)

    def scan(task: NeighbourTask) -> Neighbours:
        return find_neighbours(task, shared.value)

    found = Neighbours.none(len(sample.copies))
    context.progress.start("dedup", "audit: look for neighbours", len(tasks))
    for each in run_tasks(context.spark(), scan, tasks):
        found.add(each, scope.seed, agreement(scope.threshold))
    context.progress.finish()
    counters.add(found.counters)
    return found


def _pairs(sample: Sample, candidates: Candidates) -> CandidatePairs:
    rows, member = sample.rows, candidates.member
    together = rows.n_shingles[member] + candidates.n_shingles
    return CandidatePairs(rows.doc_id[member], candidates.doc_id, together)


def _weights(neighbours: Neighbours, seed: int, least: int) -> np.ndarray:
    candidates = neighbours.candidates
    chosen = chosen_for_check(candidates, seed, least)
    near = neighbours.near.sum(axis=1)
    checked = np.bincount(candidates.member[chosen], minlength=len(near))
    weight: np.ndarray = (chosen * near[candidates.member]) / np.maximum(
        checked[candidates.member], 1
    )
    return weight


def _result(checked: _CheckedSample, population: Mapping[Disposition, int]) -> Audit:
    threshold, near = checked.threshold, round(checked.threshold - MARGIN, 6)
    sampled = {disposition: checked.sampled(disposition) for disposition in Disposition}
    result = Audit(
        confidence=CONFIDENCE,
        threshold=threshold,
        near=near,
        removed_documents=sampled[Disposition.REMOVED],
        kept_documents=sampled[Disposition.KEPT],
        compared_pairs=len(checked.jaccard),
    )

    def share(disposition: Disposition, similarity: float) -> AuditedShare:
        hits = checked.with_duplicate(disposition, similarity)
        return _share(share_of(hits, sampled[disposition], population[disposition]))

    if sampled[Disposition.REMOVED]:
        result.precision = share(Disposition.REMOVED, threshold)
        result.precision_near = share(Disposition.REMOVED, near)
        recall = _recall(checked, sampled, population)
        result.recall = None if recall is None else _share(recall)
    if sampled[Disposition.KEPT]:
        result.kept_with_duplicate = share(Disposition.KEPT, threshold)
    return result


def _share(estimate: Estimate) -> AuditedShare:
    return AuditedShare(estimate.value, estimate.low, estimate.high)


def _recall(
    checked: _CheckedSample,
    sampled: Mapping[Disposition, int],
    population: Mapping[Disposition, int],
) -> Estimate | None:
    """The share of pairs at the threshold of which at most one document was kept."""
    found = total_of(checked.duplicates(Disposition.REMOVED), population[Disposition.REMOVED])
    if not found.value:
        return None
    if not sampled[Disposition.KEPT]:
        return Estimate(1.0, 0.0, 1.0)
    # A missed pair is found at each of its two ends.
    missed = weighted_total(
        checked.duplicates(Disposition.KEPT),
        sampled[Disposition.KEPT],
        population[Disposition.KEPT],
    ).times(0.5)
    return found_share(replace(found, low=max(found.low, 0.5)), missed)
