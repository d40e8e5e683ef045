"""Runs of words that occur more than once: their anchors, and the runs at anchors that are shared.

Winnowing (Schleimer, Wilkerson, Aiken: Winnowing, SIGMOD 2003, section 3) chooses from each run of
``width`` words the smallest hash of the grams inside it, its anchor. The choice depends on the
words of the run alone, so runs with the same words have the same anchor at the same place; and
neighbouring runs mostly share theirs. So few anchors need be compared to know which runs may occur
again, and only these are compared as a whole.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import TextBuffers, text_buffers
from strata.pipelines.kernels.hashing import multiply61, reduce61
from strata.pipelines.kernels.passages import FIELDS, Passages
from strata.pipelines.kernels.shingles import CURSOR, MAX_WORDS, multipliers, scan_words
from strata.pipelines.kernels.words import word_table
from strata.storage.checksums.hashing import mix

__all__ = ["find_anchors", "find_runs"]

_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)
_PRIME: Final = np.uint64(2**61 - 1)
_BASE: Final = np.uint64(0x1E3779B97F4A7C15)
_ZERO: Final = np.uint64(0)
_SPACE: Final = np.uint8(32)


def find_anchors(texts: pa.LargeStringArray, width: int) -> Passages:
    """The anchors of all runs of ``width`` words of texts, each once: grams of half as many."""
    buffers = text_buffers(texts)
    key, fields = _room(buffers)
    found = _emit_anchors(
        buffers.data, buffers.offsets, word_table(), multipliers(), width, key, fields
    )
    return Passages.of(key, fields, found)


def find_runs(
    texts: pa.LargeStringArray, width: int, bounds: NDArray[np.int64], anchors: NDArray[np.int64]
) -> Passages:
    """The runs of ``width`` words of texts whose anchor is at one of the given places.

    Args:
        texts: n texts.
        width: words in a run.
        bounds: int64[n + 1]; the places in text i are ``anchors[bounds[i] : bounds[i + 1]]``.
        anchors: int64[m], first words of anchors, ascending in each text.
    """
    buffers = text_buffers(texts)
    key, fields = _room(buffers)
    found = _emit_runs(
        buffers.data,
        buffers.offsets,
        word_table(),
        multipliers(),
        width,
        bounds,
        anchors,
        key,
        fields,
    )
    return Passages.of(key, fields, found)


def _room(buffers: TextBuffers) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Arrays with room for a passage at each word; unused parts take no memory."""
    # A word and what ends it have at least two bytes, but for the last word of a text.
    most = int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + len(buffers.offsets)
    return np.empty(most, np.uint64), np.empty((most, FIELDS), np.int32)


@numba.njit(cache=True)
def _power(exponent: int) -> np.uint64:
    power = np.uint64(1)
    for _ in range(exponent):
        power = multiply61(power, _BASE)
    return power


@numba.njit(cache=True)
def _gram(sums: NDArray[np.uint64], at: int, width: int, power: np.uint64) -> np.uint64:
    """Hash of the words ``at`` to ``at + width``, from the sums over all words before each."""
    return mix(reduce61(sums[at + width] + _PRIME - multiply61(sums[at], power)))


@numba.njit(cache=True)
def _choose_anchors(
    sums: NDArray[np.uint64], count: int, width: int, power: np.uint64, anchor: NDArray[np.int32]
) -> None:
    """Put the first word of the anchor of the run at word i into ``anchor[i]``.

    Of equal grams the first is the anchor.
    """
    gram = width // 2
    spread = width - gram + 1
    recent = np.empty(spread, np.uint64)
    least, smallest = 0, _ZERO
    for at in range(count - gram + 1):
        value = _gram(sums, at, gram, power)
        recent[at % spread] = value
        if at == 0 or value < smallest:
            least, smallest = at, value
        elif at - least >= spread:
            least, smallest = at - spread + 1, recent[(at + 1) % spread]
            for later in range(at - spread + 2, at + 1):
                if recent[later % spread] < smallest:
                    least, smallest = later, recent[later % spread]
        if at >= spread - 1:
            anchor[at - spread + 1] = least


@numba.njit(cache=True)
def _end(data: NDArray[np.uint8], at: int, limit: int) -> int:
    """The end of the punctuation after a word: white space, the next word or the limit."""
    while at < limit and data[at] > _SPACE:
        at += 1
    return at


@numba.njit(cache=True)
def _check(words: NDArray[np.uint64], at: int, width: int) -> np.int32:
    """A check of three of the words: runs whose hashes collide hardly ever share these too."""
    last = at + width - 1
    state = mix(words[at] + mix(words[(at + last) // 2] + mix(words[last])))
    return np.int32(state & np.uint64(0x7FFFFFFF))


@numba.njit(cache=True)
def _all_words(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    words: NDArray[np.uint64],
    places: NDArray[np.int64],
    sums: NDArray[np.uint64],
) -> int:
    """Compute hashes, places and sums of the words of a text; returns the number of words."""
    cursor = np.zeros(CURSOR, np.uint64)
    cursor[0] = start
    found = _ZERO
    while cursor[0] < np.uint64(stop):
        found = scan_words(data, np.uint64(stop), table, factors, cursor, words, found, places)
    count = int(np.int64(found))
    sums[0] = _ZERO
    for at in range(count):
        sums[at + 1] = reduce61(multiply61(sums[at], _BASE) + reduce61(words[at]))
    return count


@numba.njit(cache=True)
def _put(
    data: NDArray[np.uint8],
    text: int,
    span: tuple[int, int],
    words: NDArray[np.uint64],
    places: NDArray[np.int64],
    count: int,
    first: int,
    width: int,
    fields: NDArray[np.int32],
) -> None:
    """Describe the ``width`` words from ``first`` on of the text that is ``data`` in a span."""
    last = first + width - 1
    limit = places[last + 1, 0] if last + 1 < count else span[1]
    fields[0], fields[1], fields[2] = _check(words, first, width), text, first
    fields[3] = places[first, 0] - span[0]
    fields[4] = _end(data, places[last, 1], limit) - span[0]


@numba.njit(cache=True)
def _most_words(offsets: NDArray[np.int64]) -> int:
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest // 2 + MAX_WORDS


@numba.njit(
    numba.int64(
        *(_READ_U8, _READ_I64, _READ_U32, numba.uint64[::1], numba.int64),
        *(numba.uint64[::1], numba.int32[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _emit_anchors(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    width: int,
    key: NDArray[np.uint64],
    fields: NDArray[np.int32],
) -> int:
    most = _most_words(offsets)
    words, places = np.empty(most, np.uint64), np.empty((most, 2), np.int64)
    sums, anchor = np.empty(most + 1, np.uint64), np.empty(most, np.int32)
    gram, kept = width // 2, 0
    power = _power(gram)
    for i in range(len(offsets) - 1):
        span = (offsets[i], offsets[i + 1])
        count = _all_words(data, span[0], span[1], table, factors, words, places, sums)
        _choose_anchors(sums, count, width, power, anchor)
        for at in range(count - width + 1):
            if at == 0 or anchor[at] != anchor[at - 1]:
                key[kept] = _gram(sums, anchor[at], gram, power)
                _put(data, i, span, words, places, count, anchor[at], gram, fields[kept])
                kept += 1
    return kept


@numba.njit(
    numba.int64(
        *(_READ_U8, _READ_I64, _READ_U32, numba.uint64[::1], numba.int64),
        *(_READ_I64, _READ_I64, numba.uint64[::1], numba.int32[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _emit_runs(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    width: int,
    bounds: NDArray[np.int64],
    shared: NDArray[np.int64],
    key: NDArray[np.uint64],
    fields: NDArray[np.int32],
) -> int:
    most = _most_words(offsets)
    words, places = np.empty(most, np.uint64), np.empty((most, 2), np.int64)
    sums, anchor = np.empty(most + 1, np.uint64), np.empty(most, np.int32)
    power, kept = _power(width), 0
    for i in range(len(offsets) - 1):
        near, end = bounds[i], bounds[i + 1]
        if near == end:
            continue
        span = (offsets[i], offsets[i + 1])
        count = _all_words(data, span[0], span[1], table, factors, words, places, sums)
        _choose_anchors(sums, count, width, _power(width // 2), anchor)
        for at in range(count - width + 1):
            while near < end and shared[near] < anchor[at]:
                near += 1
            if near < end and shared[near] == anchor[at]:
                key[kept] = _gram(sums, at, width, power)
                _put(data, i, span, words, places, count, at, width, fields[kept])
                kept += 1
    return kept
