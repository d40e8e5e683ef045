"""What a search with given settings finds on a sample, and what it costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

from strata.pipelines.dedup_scan import MAX_HUBS
from strata.pipelines.exact_edges import UNCERTAIN_ERRORS
from strata.pipelines.kernels.banding import SIGNATURE_BYTES, Banding, band_keys
from strata.pipelines.kernels.components import components
from strata.pipelines.tune_sample import TuneSample
from strata.settings import VerifyMethod

__all__ = ["Choice", "TrialResult", "evaluate"]

# A shuffled row is a key, a document id and the sketch; two more rows are for equal texts and ids.
ROW_BYTES = 16
EXTRA_ROWS = 2
BIT_BYTES = SIGNATURE_BYTES // 8
TIMED_BANDS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of a search.

    Attributes:
        banding: bands and rows.
        bits: of each signature byte that ride in the shuffle.
        margin: standard errors below the threshold from which an estimate is accepted.
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
        """That of an estimate from so many bits a place."""
        chance = 2.0**-self.bits
        agree = jaccard + (1 - jaccard) * chance
        return sqrt(agree * (1 - agree) / SIGNATURE_BYTES) / (1 - chance)

    def most_differing(self, threshold: float) -> int:
        """Places in which the signatures of an accepted pair differ at most."""
        accepted = threshold - self.margin * self.standard_error(threshold)
        return floor(SIGNATURE_BYTES * (1 - accepted) * (1 - 2.0**-self.bits) + 1e-9)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a choice comes to.

    Attributes:
        choice: the settings.
        meet: probability that a pair at the threshold meets in a bucket.
        recall: of the true pairs of drawn documents, the share with at most one document kept.
        false_removals: of the drawn documents that are removed, the share without a true pair.
        checked: pairs that are verified by their texts, for each document.
        document_bytes: shuffled for each document.
        seconds: processor time of keys, sort and comparison for a million documents.
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
    """Try settings.

    Args:
        choice: the settings.
        threshold: Jaccard similarity of duplicates.
        sample: the documents, and the truth of their pairs.
        timed: uint8[n, 256], signatures that the cost is measured on.
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
        recall=1 - missed.sum() / max(1, asked.sum()),
        false_removals=(removed & ~right).sum() / max(1, removed.sum()),
        checked=checked / max(1, len(kept)),
        document_bytes=choice.document_bytes,
        seconds=_seconds(choice, threshold, timed),
    )


def _search(choice: Choice, threshold: float, signature: np.ndarray, bands: int) -> np.ndarray:
    """Distinct links, int64[m, 3]: two rows, and the places in which they differ."""
    from strata.pipelines.kernels.star_links import bit_planes, star_links

    planes, differing = bit_planes(signature, choice.bits), choice.most_differing(threshold)
    found = [np.empty((0, 3), np.int64)]
    for band in range(bands):
        keys = band_keys(signature, choice.banding, (band,))[:, 0]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        shared = np.zeros(len(keys), bool)
        shared[1:] = ordered[1:] == ordered[:-1]
        shared[:-1] |= shared[1:]
        rows = order[shared]
        links = star_links(ordered[shared], planes[rows], differing, MAX_HUBS)
        links[:, 0], links[:, 1] = rows[links[:, 0]], rows[links[:, 1]]
        found.append(links)
    return np.unique(np.concatenate(found), axis=0)


def _verified(
    choice: Choice, threshold: float, sample: TuneSample, links: np.ndarray
) -> tuple[np.ndarray, int]:
    """The links that stay, and how many of them their texts had to decide."""
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
