"""MinHash signatures of documents, from the sets of their word n-grams.

The sketch is that of Dahlgaard, Knudsen, Thorup: Fast Similarity Sketching, FOCS 2017, section 2. A
signature has 256 bins. In round r < 256 every shingle falls into one bin with one value, in round
256 + r every shingle falls into bin r, and the sketch ends after the first round in which no bin is
empty. A bin keeps its smallest (round, value), of which the signature holds 8 bits. Two documents
agree in a bin with a probability of their Jaccard similarity, as with 256 independent permutations,
but a shingle of a long document is hashed once, not 256 times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.banding import SIGNATURE_BYTES
from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import (
    CURSOR,
    MAX_WORDS,
    multipliers,
    roll_shingles,
    scan_words,
)
from strata.pipelines.kernels.words import word_table
from strata.storage.checksums.hashing import mix

__all__ = ["Sketches", "distinct_first", "estimate", "sketch"]

_BINS: Final = SIGNATURE_BYTES
_POOL: Final = 4 * MAX_WORDS  # shingles kept for the later rounds, before the pool is deduplicated
_EMPTY: Final = np.uint64(2**64 - 1)
_ROUND_SHIFT: Final = np.uint64(55)
_VALUE: Final = np.uint64(2**55 - 1)
_BIN_SHIFT: Final = np.uint64(56)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_ONE: Final = np.uint64(1)
_ZERO: Final = np.uint64(0)
_BYTE: Final = np.uint64(255)


@dataclass(frozen=True, slots=True)
class Sketches:
    """Signatures of n documents.

    Attributes:
        signature: uint8[n, 256]; all zero where a document has no word.
        n_shingles: int64[n], repetitions counted; 0 only where a document has no word.
    """

    signature: NDArray[np.uint8]
    n_shingles: NDArray[np.int64]


def sketch(text: pa.LargeStringArray, ngram: int) -> Sketches:
    """Signatures of texts, from the set of their runs of ``ngram`` consecutive words.

    A text with fewer words than ``ngram`` is one shingle of all of them. A null counts as empty.
    """
    buffers = text_buffers(text)
    signature = np.zeros((len(text), _BINS), np.uint8)
    counts = np.zeros(len(text), np.int64)
    _sketch_all(
        buffers.data, buffers.offsets, word_table(), multipliers(), ngram, signature, counts
    )
    return Sketches(signature, counts)


def estimate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unbiased Jaccard similarity of the pairs of signatures ``a[i], b[i]``, both uint8[m, 256].

    The standard error is at most 0.032. Slightly below 0 for documents that share nothing.
    """
    agree = np.count_nonzero(a == b, axis=1) / _BINS
    similarity: NDArray[np.float32] = ((agree - 1 / 256) / (1 - 1 / 256)).astype(np.float32)
    return similarity


_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)


@numba.njit(cache=True)
def _first_round(
    shingles: NDArray[np.uint64],
    bins: NDArray[np.uint64],
    pool: NDArray[np.uint64],
    kept: int,
    step: int,
) -> int:
    """Put shingles into the bins and, with a step of 1, their hashes into ``pool[kept:]``.

    Returns the number of bins that were empty before.
    """
    filled = 0
    for shingle in shingles:
        x = mix(shingle) | _ONE
        slot = x >> _BIN_SHIFT
        old = bins[slot]
        filled += int(old == _EMPTY)
        bins[slot] = min(old, (x >> _ONE) & _VALUE)
        pool[kept] = x
        kept += step
    return filled


@numba.njit(cache=True)
def _later_rounds(
    pool: NDArray[np.uint64], kept: int, bins: NDArray[np.uint64], filled: int
) -> None:
    number = 0
    while filled < _BINS:
        number += 1
        stamp = np.uint64(number) << _ROUND_SHIFT
        step = np.uint64(number) * _STEP
        only = number - _BINS
        if only >= 0 and bins[only] != _EMPTY:
            continue
        for i in range(kept):
            x = mix(pool[i] + step)
            slot = x >> _BIN_SHIFT if only < 0 else np.uint64(only)
            old = bins[slot]
            filled += int(old == _EMPTY)
            bins[slot] = min(old, stamp | ((x >> _ONE) & _VALUE))


@numba.njit(cache=True)
def distinct_first(pool: NDArray[np.uint64], kept: int) -> int:
    """Move the distinct values of ``pool[:kept]``, none of them 0, to its front and count them."""
    size = 16
    while size < 2 * kept:
        size *= 2
    table = np.zeros(size, np.uint64)
    distinct = 0
    for i in range(kept):
        slot = int(np.int64(pool[i])) & (size - 1)
        while table[slot] != _ZERO and table[slot] != pool[i]:
            slot = (slot + 1) & (size - 1)
        if table[slot] == _ZERO:
            table[slot] = pool[i]
            pool[distinct] = pool[i]
            distinct += 1
    return distinct


@numba.njit(cache=True)
def _with_room(pool: NDArray[np.uint64], kept: int) -> NDArray[np.uint64]:
    """A pool with the same first ``kept`` values, at most half full."""
    if 2 * kept <= len(pool):
        return pool
    larger = np.empty(2 * len(pool), np.uint64)
    for i in range(kept):
        larger[i] = pool[i]
    return larger


@numba.njit(cache=True)
def _fill_bins(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    ngram: int,
    words: NDArray[np.uint64],
    rolled: NDArray[np.uint64],
    pool: NDArray[np.uint64],
    bins: NDArray[np.uint64],
) -> int:
    """Sketch the document ``data[start:stop]`` into ``bins``; returns its number of shingles."""
    cursor = np.zeros(CURSOR, np.uint64)
    cursor[0] = start
    bins.fill(_EMPTY)
    for i in range(ngram):
        words[i] = _ZERO
    rolled[0] = _ZERO
    n_words, filled, kept = 0, 0, 0
    while cursor[0] < np.uint64(stop):
        end = scan_words(data, np.uint64(stop), table, factors, cursor, words, np.uint64(ngram))
        found = int(np.int64(end)) - ngram
        roll_shingles(words, np.uint64(found), ngram, rolled)
        if kept + MAX_WORDS > len(pool):
            kept = distinct_first(pool, kept)
            pool = _with_room(pool, kept)
        step = int(filled < _BINS)
        skip = min(found, max(0, ngram - 1 - n_words))
        filled += _first_round(rolled[1 + skip : 1 + found], bins, pool, kept, step)
        kept += step * (found - skip)
        n_words += found
    if 0 < n_words < ngram:
        filled = _first_round(rolled[:1], bins, pool, 0, 1)
        kept = 1
    if 0 < filled < _BINS:
        _later_rounds(pool, distinct_first(pool, kept), bins, filled)
    return n_words - ngram + 1 if n_words >= ngram else min(n_words, 1)


@numba.njit(
    (
        *(_READ_U8, _READ_I64, _READ_U32, numba.uint64[::1], numba.int64),
        *(numba.uint8[:, ::1], numba.int64[::1]),
    ),
    cache=True,
    nogil=True,
)
def _sketch_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    ngram: int,
    signature: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> None:
    words = np.empty(ngram + MAX_WORDS, np.uint64)
    rolled = np.empty(1 + MAX_WORDS, np.uint64)
    pool = np.empty(_POOL, np.uint64)
    bins = np.empty(_BINS, np.uint64)
    for i in range(len(counts)):
        counts[i] = _fill_bins(
            data, offsets[i], offsets[i + 1], table, factors, ngram, words, rolled, pool, bins
        )
        if counts[i] > 0:
            for j in range(_BINS):  # a loop: an array expression takes 1 s longer to compile
                signature[i, j] = np.uint8(bins[j] & _BYTE)
