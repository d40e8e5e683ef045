"""The compiled scan of :mod:`strata.pipelines.kernels.buckets`."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.banding import SKETCH_WORDS

__all__ = ["join_hubs", "scan_buckets"]

_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)
_READ_U64: Final = numba.types.Array(numba.uint64, 2, "C", readonly=True)
_PAIRS: Final = np.uint64(0x3333333333333333)


@numba.njit(cache=True)
def _differing(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> int:
    """Bits in which two compact sketches differ (Warren, Hacker's Delight, section 5-1)."""
    count = np.uint64(0)
    for i in range(SKETCH_WORDS):
        x = a[i] ^ b[i]
        x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
        x = (x & _PAIRS) + ((x >> np.uint64(2)) & _PAIRS)
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        count += (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return int(np.int64(count))


@numba.njit(
    (
        *(_READ_I64, _READ_I64, _READ_U64, numba.int64, numba.int64[::1]),
        *(numba.int64[::1], numba.uint64[:, ::1], numba.int64[::1], numba.int64[::1]),
    ),
    cache=True,
    nogil=True,
)
def scan_buckets(
    keys: NDArray[np.int64],
    doc_ids: NDArray[np.int64],
    rows: NDArray[np.uint64],
    max_differing: int,
    state: NDArray[np.int64],
    hubs: NDArray[np.int64],
    sketches: NDArray[np.uint64],
    hub: NDArray[np.int64],
    differing: NDArray[np.int64],
) -> None:
    """Compare each row with the hubs of its bucket; rows are sorted by (key, doc_id).

    Args:
        keys: int64[n].
        doc_ids: int64[n].
        rows: uint64[n, SKETCH_WORDS], compact sketches.
        max_differing: bits in which similar sketches may differ.
        state: int64[2], the key of the open bucket, and how many hubs it has (0 before the first
            row).
        hubs: int64[h], the documents that are hubs of the open bucket.
        sketches: uint64[h, SKETCH_WORDS], those of the hubs.
        hub: int64[n], set to the hub that a row joins.
        differing: int64[n], set to the bits that differ from it, or -1 where a row joins none.
    """
    key, n_hubs = state[0], state[1]
    for i in range(len(keys)):
        if keys[i] != key:
            key, n_hubs = keys[i], 0
        differing[i] = -1
        known = False
        for j in range(n_hubs):
            known = known or hubs[j] == doc_ids[i]
            count = _differing(rows[i], sketches[j])
            if not known and count <= max_differing:
                hub[i], differing[i] = hubs[j], count
                break
        if differing[i] < 0 and not known and n_hubs < len(hubs):
            hubs[n_hubs] = doc_ids[i]
            for word in range(SKETCH_WORDS):
                sketches[n_hubs, word] = rows[i, word]
            n_hubs += 1
    state[0], state[1] = key, n_hubs


@numba.njit(
    (
        *(_READ_I64, _READ_I64, _READ_U64),
        *(_READ_I64, _READ_I64, _READ_I64, _READ_U64, _READ_I64),
        *(numba.int64[::1], numba.int64[::1], numba.int64[::1]),
    ),
    cache=True,
    nogil=True,
)
def join_hubs(
    keys: NDArray[np.int64],
    doc_ids: NDArray[np.int64],
    rows: NDArray[np.uint64],
    skewed_keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    hubs: NDArray[np.int64],
    sketches: NDArray[np.uint64],
    most: NDArray[np.int64],
    place: NDArray[np.int64],
    joined: NDArray[np.int64],
    differing: NDArray[np.int64],
) -> None:
    """Compare rows with the hubs of their keys, where these are known; rows come in any order.

    Args:
        keys: int64[n].
        doc_ids: int64[n].
        rows: uint64[n, SKETCH_WORDS], compact sketches.
        skewed_keys: int64[k], keys with known hubs, ascending.
        starts: int64[k + 1], where the hubs of each key begin.
        hubs: int64[h], the documents that are hubs, in the order of a scan.
        sketches: uint64[h, SKETCH_WORDS], those of the hubs.
        most: int64[4], bits in which a row may differ from a hub that it joins, by the two low bits
            of its key.
        place: int64[n], -1; set to the place of a row's key in ``skewed_keys``.
        joined: int64[n], -1; set to the place of the hub that a row joins or is.
        differing: int64[n], -1; set to the bits that differ from the hub that a row joins.
    """
    for i in range(len(keys)):
        at = np.searchsorted(skewed_keys, keys[i])
        if at == len(skewed_keys) or skewed_keys[at] != keys[i]:
            continue
        place[i] = at
        for j in range(starts[at], starts[at + 1]):
            if hubs[j] == doc_ids[i]:
                joined[i] = j
                break
            count = _differing(rows[i], sketches[j])
            if count <= most[keys[i] & 3]:
                joined[i], differing[i] = j, count
                break
