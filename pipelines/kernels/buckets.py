"""Verification inside LSH buckets: star edges from hubs, linear in the size of a bucket.

Rows travel with a compact sketch, the lowest bit of each signature byte. Two documents agree in
such a bit with probability ``(1 + J) / 2`` (Li, König: b-Bit Minwise Hashing, WWW 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strata.errors import SettingsError
from strata.pipelines.kernels.banding import SIGNATURE_BYTES, SKETCH_WORDS
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.kernels.runs import distinct_pairs

__all__ = [
    "BucketScanner",
    "Edges",
    "acceptance",
    "edges_of_pairs",
    "most_differing",
    "pack_sketches",
]

_BITS: Final = SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Edges(Columns):
    """Pairs of similar documents, each once, in ascending order of (a, b).

    Attributes:
        a: int64[m], the hub, always the smaller doc_id.
        b: int64[m].
        similarity: float32[m], estimated Jaccard similarity.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def distinct(self) -> Edges:
        """Sorted pairs without repetition; of repeated pairs the first counts."""
        return self.take(distinct_pairs(self.a, self.b))


def pack_sketches(signature: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Compact sketches, uint64[n, SKETCH_WORDS], of signatures, uint8[n, 256]."""
    bits = np.packbits(signature & np.uint8(1), axis=1, bitorder="little")
    packed: NDArray[np.uint64] = bits.view("<u8")
    return packed


def acceptance(threshold: float) -> float:
    """Estimated similarity from which on a pair counts as reaching ``threshold``.

    It is one standard error of the estimate below, so that five of six pairs that are exactly at
    the threshold are found; for a threshold of 1 it is 1.
    """
    return threshold - sqrt((1 - threshold**2) / _BITS)


def most_differing(threshold: float) -> int:
    """Bits in which the sketches of two documents that count as similar may differ."""
    return int(_BITS * (1 - acceptance(threshold)) / 2 + 1e-9)


class BucketScanner:
    """Turns rows sorted by (key, doc_id) into edges; the rows may be cut into batches anywhere.

    The first document of a bucket is a hub. Every further one is compared with the hubs of its
    bucket in order, and joins the first that is similar enough; one that joins none is a further
    hub while there are fewer than ``max_hubs``.

    Args:
        threshold: Jaccard similarity that makes an edge; an estimate has to reach its `acceptance`.
        max_hubs: bound of the work and memory for one bucket.
    """

    def __init__(self, threshold: float, max_hubs: int = 16) -> None:
        if not 0 < threshold <= 1 or max_hubs < 1:
            raise SettingsError(
                f"a bucket scan cannot work with threshold {threshold} and {max_hubs} hubs",
                hint="choose a threshold above 0 and up to 1, and at least one hub",
            )
        self._max_differing = most_differing(threshold)
        self._hubs = np.zeros(max_hubs, np.int64)
        self._sketches = np.zeros((max_hubs, SKETCH_WORDS), np.uint64)
        self._state = np.zeros(2, np.int64)

    def feed(
        self,
        keys: NDArray[np.int64],
        doc_ids: NDArray[np.int64],
        sketches: NDArray[np.uint64],
    ) -> Edges:
        """Edges that end in these rows: int64[m], int64[m] and uint64[m, SKETCH_WORDS]."""
        # The driver ships scanners to tasks, but only tasks need numba.
        from strata.pipelines.kernels.bucket_scan import scan_buckets

        hub = np.empty(len(keys), np.int64)
        differing = np.empty(len(keys), np.int64)
        scan_buckets(
            np.ascontiguousarray(keys),
            np.ascontiguousarray(doc_ids),
            np.ascontiguousarray(sketches),
            self._max_differing,
            self._state,
            self._hubs,
            self._sketches,
            hub,
            differing,
        )
        joined = np.flatnonzero(differing >= 0)
        return edges_of_pairs(hub[joined], doc_ids[joined], differing[joined])


def edges_of_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], differing: NDArray[np.int64]
) -> Edges:
    """Pairs, int64[m] and int64[m], and the number of bits that differ, int64[m]; each once."""
    return Edges(a, b, (1 - 2 * differing / _BITS).astype(np.float32)).distinct()
