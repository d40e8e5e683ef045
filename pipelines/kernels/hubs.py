"""The first hubs of skewed keys, known before the shuffle.

A document that is similar to the first hub of its bucket joins it, whatever other hubs there are.
So rows can be compared with the first few hubs anywhere, and those that join none are compared with
the same hubs again in their bucket: the edges are those of one scan over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.banding import SKETCH_WORDS

__all__ = ["NO_HUBS", "HubMatches", "Hubs"]


@dataclass(frozen=True, slots=True)
class HubMatches:
    """Which rows joined a hub.

    Attributes:
        key: int64[n], place of the row's key among the skewed keys, or -1.
        hub: int64[n], place of the hub that the row joins or is, or -1.
        differing: int64[n], bits in which the row differs from the hub that it joins, else -1.
    """

    key: NDArray[np.int64]
    hub: NDArray[np.int64]
    differing: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hubs:
    """The first hubs of some keys, in the order in which a scan finds them.

    Attributes:
        keys: int64[k], ascending.
        starts: int64[k + 1]; the hubs of ``keys[i]`` are those from ``starts[i]`` to
            ``starts[i + 1]``.
        doc_ids: int64[h].
        sketches: uint64[h, SKETCH_WORDS].
        most: int64[4], bits in which a row may differ from a hub that it joins, by the two low bits
            of its key.
    """

    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    doc_ids: NDArray[np.int64]
    sketches: NDArray[np.uint64]
    most: NDArray[np.int64]

    @classmethod
    def unknown(cls, keys: NDArray[np.int64], most: NDArray[np.int64]) -> Hubs:
        """Keys, ascending, whose hubs are still to be found."""
        starts = np.zeros(len(keys) + 1, np.int64)
        sketches = np.empty((0, SKETCH_WORDS), np.uint64)
        return cls(keys, starts, np.empty(0, np.int64), sketches, most)

    def join(
        self,
        keys: NDArray[np.int64],
        doc_ids: NDArray[np.int64],
        sketches: NDArray[np.uint64],
    ) -> HubMatches:
        """Compare rows with the hubs of their keys; they may come in any order.

        Args:
            keys: int64[n].
            doc_ids: int64[n].
            sketches: uint64[n, SKETCH_WORDS].
        """
        # The driver holds hubs too, but only tasks need numba.
        from strata.pipelines.kernels.bucket_scan import join_hubs

        place, hub, differing = (np.full(len(keys), -1, np.int64) for _ in range(3))
        join_hubs(
            np.ascontiguousarray(keys),
            np.ascontiguousarray(doc_ids),
            np.ascontiguousarray(sketches),
            self.keys,
            self.starts,
            self.doc_ids,
            self.sketches,
            self.most,
            place,
            hub,
            differing,
        )
        return HubMatches(place, hub, differing)

    def with_hubs(
        self,
        place: NDArray[np.int64],
        doc_ids: NDArray[np.int64],
        sketches: NDArray[np.uint64],
    ) -> Hubs:
        """With one more hub, the last of its key, for each of the keys at ``place``, int64[m]."""
        owner = np.concatenate([np.repeat(np.arange(len(self.keys)), np.diff(self.starts)), place])
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(self.keys) + 1))
        return Hubs(
            self.keys,
            starts,
            np.concatenate([self.doc_ids, doc_ids])[order],
            np.concatenate([self.sketches, sketches])[order],
            self.most,
        )


NO_HUBS = Hubs.unknown(np.empty(0, np.int64), np.zeros(4, np.int64))
