"""Finding, among all signatures, those close to one of a sample, independently of `dedup`.

A document is compared with those of the sample that share a short run of signature bytes with it,
at the same place. There are enough runs, and they are short enough, that fewer than one in 50,000
pairs at the threshold have none in common (`run_bytes`); every pair with a common run is compared
byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.banding import SIGNATURE_BYTES, Banding

__all__ = ["SignatureIndex", "run_bytes"]

MISS_RATE: Final = 2e-5
_RUN_LENGTHS: Final = (4, 2, 1)
_SLOTS: Final = 8  # of a table, for each member of the sample
_MAX_PAIRS: Final = 1 << 18  # that a block of documents can have with the sample
_BLOCK: Final = 256  # documents, whose signatures stay in the L2 cache


def run_bytes(threshold: float) -> int:
    """The greatest length of runs that still finds a pair at this Jaccard similarity."""
    for length in _RUN_LENGTHS:
        runs = Banding(SIGNATURE_BYTES // length, length)
        if 1 - runs.probability(threshold) <= MISS_RATE:
            return length
    return _RUN_LENGTHS[-1]


class SignatureIndex:
    """The signatures of a sample by their runs of bytes.

    Args:
        signatures: uint8[n, 256].
        threshold: Jaccard similarity from which a pair must be found.
        agree: signature bytes that must agree for a pair to be returned.
    """

    def __init__(self, signatures: NDArray[np.uint8], threshold: float, agree: int) -> None:
        self._signatures = np.ascontiguousarray(signatures)
        self._length = run_bytes(threshold)
        self._runs = _runs(self._signatures, self._length)
        self._agree = agree
        bits = (_SLOTS * len(signatures)).bit_length()
        self._heads = np.full((self._runs.shape[1], 1 << bits), -1, np.int32)
        self._links = np.empty(self._runs.shape, np.int32)
        _insert(self._runs, self._heads, self._links)

    def near(self, signatures: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
        """Pairs of documents, uint8[m, 256], with the sample.

        Yields:
            int64[k, 3]: document, member of the sample, bytes that agree; in ascending order.
        """
        rows = np.ascontiguousarray(signatures)
        runs, members = _runs(rows, self._length), len(self._signatures)
        block = max(1, min(_BLOCK, _MAX_PAIRS // max(1, members)))
        room = np.empty((block * members, 3), np.int64)
        for start in range(0, len(rows), block):
            count = _probe(
                rows[start : start + block],
                runs[start : start + block],
                self._signatures,
                self._runs,
                self._heads,
                self._links,
                self._agree,
                room,
            )
            if count:
                found = room[:count][np.lexsort((room[:count, 1], room[:count, 0]))]
                found[:, 0] += start
                yield found


def _runs(signatures: NDArray[np.uint8], length: int) -> NDArray[np.uint32]:
    """Runs of bytes as numbers, uint32[n, 256 / length]."""
    runs: NDArray[np.uint32] = signatures.view(f"<u{length}").astype(np.uint32, copy=False)
    return runs


_READ_U8: Final = numba.types.Array(numba.uint8, 2, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 2, "C", readonly=True)


@numba.njit(cache=True)
def _slot(run: np.uint32, slots: int) -> np.uint32:
    mixed = run * np.uint32(0x9E3779B1)
    return (mixed ^ (mixed >> np.uint32(15))) & np.uint32(slots - 1)


@numba.njit((_READ_U32, numba.int32[:, ::1], numba.int32[:, ::1]), cache=True, nogil=True)
def _insert(runs: NDArray[np.uint32], heads: NDArray[np.int32], links: NDArray[np.int32]) -> None:
    for member in range(len(runs)):
        for run in range(runs.shape[1]):
            slot = _slot(runs[member, run], heads.shape[1])
            links[member, run] = heads[run, slot]
            heads[run, slot] = member


@numba.njit(cache=True)
def _agreeing(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    same = 0
    for part in range(0, SIGNATURE_BYTES, 128):
        # A sum that fits a byte: the compiler then compares as many bytes as a vector has.
        few = np.uint8(0)
        for i in range(part, part + 128):
            few += np.uint8(a[i] == b[i])
        same += int(few)
    return same


@numba.njit(cache=True)
def _matched_earlier_run(a: NDArray[np.uint32], b: NDArray[np.uint32], run: int) -> bool:
    met = False
    for earlier in range(run):
        if a[earlier] == b[earlier]:
            met = True
            break
    return met


@numba.njit(
    (
        *(_READ_U8, _READ_U32, _READ_U8, _READ_U32, numba.int32[:, ::1], numba.int32[:, ::1]),
        *(numba.int64, numba.int64[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _probe(
    rows: NDArray[np.uint8],
    row_runs: NDArray[np.uint32],
    signatures: NDArray[np.uint8],
    runs: NDArray[np.uint32],
    heads: NDArray[np.int32],
    links: NDArray[np.int32],
    agree: int,
    found: NDArray[np.int64],
) -> int:
    """Put the pairs of some rows into ``found``, each at its first common run; returns how many."""
    count = 0
    # Run by run, not row by row: one table after the other stays in the L1 cache.
    for run in range(runs.shape[1]):
        for row in range(len(rows)):
            wanted = row_runs[row, run]
            member = heads[run, _slot(wanted, heads.shape[1])]
            while member >= 0:
                if runs[member, run] == wanted and not _matched_earlier_run(
                    row_runs[row], runs[member], run
                ):
                    same = _agreeing(rows[row], signatures[member])
                    if same >= agree:
                        found[count, 0], found[count, 1], found[count, 2] = row, member, same
                        count += 1
                member = links[member, run]
    return count
