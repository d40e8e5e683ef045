"""Weighing the settings of dedup against each other on a sample of the present corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from strata.errors import InputMissingError
from strata.pipelines.audit_sample import fingerprint_rows
from strata.pipelines.dedup import banding_of
from strata.pipelines.dedup_rows import FingerprintFile
from strata.pipelines.kernels.banding import SIGNATURE_BYTES, Banding
from strata.pipelines.stage import StageContext
from strata.pipelines.tasks import run_tasks
from strata.pipelines.tune_sample import TuneSample, draw_sample
from strata.pipelines.tune_search import Choice, TrialResult, evaluate
from strata.settings import VerifyMethod
from strata.storage.store import StorageOptions, open_store

__all__ = ["Tuning", "choices", "recommended", "tune"]

DRAWN_DOCUMENTS = 4_000
TIMED_DOCUMENTS = 200_000
ROWS = (4, 5, 6, 8)
MISS_RATES = (0.01, 0.001, 0.0001)
USUAL = Banding(14, 8)
WANTED_RECALL = 0.998
SPARE_BITS = 16


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was tried, and on what.

    Attributes:
        threshold: Jaccard similarity of duplicates.
        documents: of the corpus.
        drawn: documents that were drawn.
        sampled: documents with those that are similar to them.
        pairs: true pairs of drawn documents.
        outcomes: of all choices.
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
    files: tuple[FingerprintFile, ...]
    storage: StorageOptions


def tune(context: StageContext) -> Tuning:
    """Try bands and rows, widths, margins and verification; nothing is published.

    Raises:
        InputMissingError: there is no document.
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
    """What is tried: bandings, and beside the present one widths, margins and verification."""
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
    """Index of the choice that shuffles least of those that find enough, or that find most.

    Width and margin are no settings; they show what they would be worth. A sample does not
    show that unrelated documents meet in bands of few rows once the corpus is large: a band has
    SPARE_BITS more than it takes to number the documents.
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
    files = [FingerprintFile(file.url) for file in context.corpus.table("fingerprints").files()]
    threshold = context.settings.dedup.threshold
    timed = _TimedTask(tuple(files), context.storage_options)
    shared = context.spark().sparkContext.broadcast(sample)

    def work(task: _TimedTask) -> tuple[TrialResult, ...]:
        signatures = _first_signatures(task)
        # Choices come one after the other in one task, so that their times can be compared.
        return tuple(evaluate(each, threshold, shared.value, signatures) for each in tried)

    context.progress.start("tune", "try settings", 1)
    (outcomes,) = run_tasks(context.spark(), work, [timed])
    context.progress.finish()
    return outcomes


def _first_signatures(task: _TimedTask) -> np.ndarray:
    """Signatures of the first documents: a part of the corpus as it comes."""
    store, parts, count = open_store(task.storage), [], 0
    for file in task.files:
        for rows in fingerprint_rows(file, (), store):
            parts.append(rows.signature)
            count += len(rows.signature)
            if count >= TIMED_DOCUMENTS:
                return np.concatenate(parts)[:TIMED_DOCUMENTS]
    return np.concatenate(parts)
