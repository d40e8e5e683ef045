"""Comparing settings of dedup on a sample of the present corpus: what they find and cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

from strata.errors import InputMissingError
from strata.pipelines.dedup.verify_buckets import MAX_HUBS
from strata.pipelines.dedup.verify_texts import UNCERTAIN_ERRORS
from strata.pipelines.evaluation.sample import fingerprint_rows
from strata.pipelines.evaluation.tune_sample import TuneSample, draw_sample
from strata.pipelines.execution.data_files import DataFile, data_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.kernels.banding import SIGNATURE_BYTES, Banding, band_keys
from strata.pipelines.kernels.components import components
from strata.pipelines.kernels.runs import repeated
from strata.pipelines.lineage.keys import banding_of
from strata.settings import VerifyMethod
from strata.storage.contracts.options import StorageOptions
from strata.storage.stores.opening import open_store

__all__ = ["Choice", "TrialResult", "Tuning", "choices", "evaluate", "recommended", "tune"]

DRAWN_DOCUMENTS = 4_000
TIMED_DOCUMENTS = 200_000
ROWS = (4, 5, 6, 8)
MISS_RATES = (0.01, 0.001, 0.0001)
USUAL = Banding(14, 8)
WANTED_RECALL = 0.998
SPARE_BITS = 16
# A shuffled row is a key, a document id and the sketch; two extra rows are for equal texts and ids.
ROW_BYTES = 16
EXTRA_ROWS = 2
BIT_BYTES = SIGNATURE_BYTES // 8
TIMED_BANDS = 3


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings that were tried, their outcomes, and the sample.

    Attributes:
        threshold: Jaccard similarity of duplicates.
        documents: documents of the corpus.
        drawn: documents that were drawn at random.
        sampled: documents in the sample: drawn ones and those similar to them.
        pairs: true pairs of drawn documents.
        outcomes: the outcomes of all choices.
        present: index of the outcome of the present settings.
        recommended: index of the recommended one.
    """

    threshold: float
    documents: int
    drawn: int
    sampled: int
    pairs: int
    outcomes: tuple[TrialResult, ...]
    present: int
    recommended: int


@dataclass(frozen=True, slots=True)
class _TimedTask:
    files: tuple[DataFile, ...]
    storage: StorageOptions


def tune(context: StageContext) -> Tuning:
    """Try bands and rows, widths, margins and verification; nothing is published.

    Raises:
        InputMissingError: there are no documents.
    """
    files = context.corpus.table("fingerprints").files()
    if not files:
        raise InputMissingError(
            f"the corpus {context.settings.corpus} has no fingerprints to tune on",
            hint="run `strata shard` first",
        )
    settings = context.settings.dedup
    threshold = settings.threshold
    present = Choice(banding_of(settings), verification=settings.verify)
    sample = draw_sample(context, DRAWN_DOCUMENTS)
    tried = choices(present, threshold)
    outcomes = _evaluated(context, sample, tried)
    true = sample.jaccard >= threshold
    asked = sample.drawn[sample.left] | sample.drawn[sample.right]
    documents = sum(file.rows for file in files)
    return Tuning(
        threshold,
        documents=documents,
        drawn=int(sample.drawn.sum()),
        sampled=len(sample.drawn),
        pairs=int((true & asked).sum()),
        outcomes=outcomes,
        present=tried.index(present),
        recommended=recommended(outcomes, documents),
    )


def choices(present: Choice, threshold: float) -> tuple[Choice, ...]:
    """What is tried: bandings and, for the present one, widths, margins and verification."""
    bandings = {present.banding, USUAL, *_bandings(threshold)}
    ordered = sorted(bandings, key=lambda each: (each.rows, each.bands))
    banding, exact = present.banding, VerifyMethod.EXACT
    tried = (
        *(Choice(each, verification=present.verification) for each in ordered),
        *(Choice(banding, bits) for bits in (2, 8)),
        *(Choice(banding, margin=margin) for margin in (0.0, 0.5, 1.0, 2.0)),
        *(Choice(banding, margin=margin, verification=exact) for margin in (1.0, 2.0)),
    )
    return tuple(dict.fromkeys(tried))


def _bandings(threshold: float) -> Iterator[Banding]:
    for rows in ROWS:
        fitting = [Banding(bands, rows) for bands in range(1, SIGNATURE_BYTES // rows + 1)]
        for rate in MISS_RATES:
            found = [each for each in fitting if each.probability(threshold) >= 1 - rate]
            yield from found[:1]


def recommended(outcomes: Sequence[TrialResult], documents: int) -> int:
    """Index of the choice that shuffles least among those that find enough, or else the most.

    Width and margin are not settings; they are tried to show what they would gain. A sample does
    not show that in a large corpus unrelated documents share bands of few rows: a band must have
    SPARE_BITS more bits than it takes to number the documents.
    """
    settable = [
        place
        for place, outcome in enumerate(outcomes)
        if (outcome.choice.bits, outcome.choice.margin) == (1, 1.0)
    ]
    bits = documents.bit_length() + SPARE_BITS
    roomy = [place for place in settable if 8 * outcomes[place].choice.banding.rows >= bits]
    allowed = roomy or settable
    wanted = min(WANTED_RECALL, max(outcomes[place].recall for place in allowed))
    enough = [place for place in allowed if outcomes[place].recall >= wanted]
    return min(
        enough, key=lambda at: (outcomes[at].document_bytes, outcomes[at].false_removals, at)
    )


def _evaluated(
    context: StageContext, sample: TuneSample, tried: tuple[Choice, ...]
) -> tuple[TrialResult, ...]:
    files = data_files(context.corpus.table("fingerprints").files())
    threshold = context.settings.dedup.threshold
    timed = _TimedTask(tuple(files), context.storage_options)
    shared = context.spark().sparkContext.broadcast(sample)

    def work(task: _TimedTask) -> tuple[TrialResult, ...]:
        signatures = _first_signatures(task)
        # One task runs all choices one after the other, so that their times are comparable.
        return tuple(evaluate(each, threshold, shared.value, signatures) for each in tried)

    context.progress.start("tune", "try settings", 1)
    (outcomes,) = run_tasks(context.spark(), work, [timed])
    context.progress.finish()
    return outcomes


def _first_signatures(task: _TimedTask) -> np.ndarray:
    """Signatures of the first documents: a part of the corpus in its natural order."""
    store, parts, count = open_store(task.storage), [], 0
    for file in task.files:
        for rows in fingerprint_rows(file, (), store):
            parts.append(rows.signature)
            count += len(rows.signature)
            if count >= TIMED_DOCUMENTS:
                return np.concatenate(parts)[:TIMED_DOCUMENTS]
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of a search.

    Attributes:
        banding: bands and rows.
        bits: bits of each signature byte that are shuffled.
        margin: standard errors below the threshold from which on an estimate is accepted.
        verification: whether uncertain estimates are checked by exact Jaccard.
    """

    banding: Banding
    bits: int = 1
    margin: float = 1.0
    verification: VerifyMethod = VerifyMethod.SKETCH

    @property
    def document_bytes(self) -> int:
        """Bytes that are shuffled for a document, before compression."""
        return (self.banding.bands + EXTRA_ROWS) * (ROW_BYTES + BIT_BYTES * self.bits)

    def standard_error(self, jaccard: float) -> float:
        """Standard error of an estimate from this many bits per place."""
        chance = 2.0**-self.bits
        agree = jaccard + (1 - jaccard) * chance
        return sqrt(agree * (1 - agree) / SIGNATURE_BYTES) / (1 - chance)

    def most_differing(self, threshold: float) -> int:
        """Maximum number of places in which the signatures of an accepted pair differ."""
        accepted = threshold - self.margin * self.standard_error(threshold)
        return floor(SIGNATURE_BYTES * (1 - accepted) * (1 - 2.0**-self.bits) + 1e-9)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The outcome of a choice.

    Attributes:
        choice: the settings.
        meet: probability that the documents of a pair at the threshold share a bucket.
        recall: share of the true pairs of drawn documents of which at most one document is kept.
        false_removals: share of the removed drawn documents that are in no true pair.
        checked: pairs that are verified by their texts, per document.
        document_bytes: bytes that are shuffled per document.
        seconds: processor time of keys, sort and comparison per million documents.
    """

    choice: Choice
    meet: float
    recall: float
    false_removals: float
    checked: float
    document_bytes: int
    seconds: float


def evaluate(
    choice: Choice, threshold: float, sample: TuneSample, timed: np.ndarray
) -> TrialResult:
    """Try some settings.

    Args:
        choice: the settings.
        threshold: Jaccard similarity of duplicates.
        sample: the documents and their true pairs.
        timed: uint8[n, 256], signatures on which the cost is measured.
    """
    links = _search(choice, threshold, sample.rows.signature, choice.banding.bands)
    links, checked = _verified(choice, threshold, sample, links)
    kept = _kept(sample, links)
    true = sample.jaccard >= threshold
    asked = true & (sample.drawn[sample.left] | sample.drawn[sample.right])
    missed = asked & kept[sample.left] & kept[sample.right]
    right = np.zeros(len(kept), bool)
    right[sample.left[true]] = right[sample.right[true]] = True
    removed = sample.drawn & ~kept
    return TrialResult(
        choice,
        choice.banding.probability(threshold),
        recall=1 - float(missed.sum()) / max(1, int(asked.sum())),
        false_removals=float((removed & ~right).sum()) / max(1, int(removed.sum())),
        checked=float(checked) / max(1, len(kept)),
        document_bytes=choice.document_bytes,
        seconds=_seconds(choice, threshold, timed),
    )


def _search(choice: Choice, threshold: float, signature: np.ndarray, bands: int) -> np.ndarray:
    """Distinct links, int64[m, 3]: two rows, and the number of places in which they differ."""
    from strata.pipelines.kernels.star_links import bit_planes, star_links

    planes, differing = bit_planes(signature, choice.bits), choice.most_differing(threshold)
    found = [np.empty((0, 3), np.int64)]
    for band in range(bands):
        keys = band_keys(signature, choice.banding, (band,))[:, 0]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        shared = repeated(ordered)
        rows = order[shared]
        links = star_links(ordered[shared], planes[rows], differing, MAX_HUBS)
        links[:, 0], links[:, 1] = rows[links[:, 0]], rows[links[:, 1]]
        found.append(links)
    return np.unique(np.concatenate(found), axis=0)


def _verified(
    choice: Choice, threshold: float, sample: TuneSample, links: np.ndarray
) -> tuple[np.ndarray, int]:
    """The links that are accepted, and how many links had to be decided by their texts."""
    if choice.verification is VerifyMethod.SKETCH:
        return links, 0
    sure = threshold + UNCERTAIN_ERRORS * choice.standard_error(threshold)
    similarity = 1 - links[:, 2] / SIGNATURE_BYTES / (1 - 2.0**-choice.bits)
    uncertain = similarity < sure
    n = len(sample.drawn)
    true = sample.jaccard >= threshold
    is_true = np.isin(links[:, 0] * n + links[:, 1], sample.left[true] * n + sample.right[true])
    return links[~uncertain | is_true], int(uncertain.sum())


def _kept(sample: TuneSample, links: np.ndarray) -> np.ndarray:
    """Whether each document is the first of its component, with equal texts linked: bool[n]."""
    _, first, text = np.unique(sample.rows.content, axis=0, return_index=True, return_inverse=True)
    rows = np.arange(len(text))
    joined = components(
        np.concatenate([links[:, 0], first[text]]), np.concatenate([links[:, 1], rows])
    )
    kept: np.ndarray = joined.root == rows
    return kept


def _seconds(choice: Choice, threshold: float, timed: np.ndarray) -> float:
    bands = min(TIMED_BANDS, choice.banding.bands)
    began = time.process_time()
    _search(choice, threshold, timed, bands)
    spent = (time.process_time() - began) * choice.banding.bands / bands
    return spent / max(1, len(timed)) * 1e6
