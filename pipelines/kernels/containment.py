"""Which items, such as the questions of a benchmark, a text contains, by their n-grams.

The containment of an item in a text is the share of the item's distinct n-grams that the text has
(Broder: On the resemblance and containment of documents, 1997). All items lie in one sorted array
of n-grams. A blocked Bloom filter with three bits for an n-gram in one word (Putze, Sanders,
Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007, section 3) answers for nearly all of
those that no item has; a directory over the upper bits finds the others by a search among one or
two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import (
    CURSOR,
    MAX_WORDS,
    multipliers,
    power_of_base,
    scan_words,
    sum_words,
)
from strata.pipelines.kernels.words import word_table
from strata.storage.checksums.hashing import mix

__all__ = ["ContainmentMatches", "ItemIndex", "contained_items", "item_index"]

# A word of the filter serves at most four n-grams: 1 of 100 n-grams that no item has passes.
_NGRAMS_PER_WORD_LOG: Final = 2
_MIN_BITS: Final = 8
# What is known of an item while a text is read: columns of _State.progress.
_TEXT, _MATCHED, _LAST, _RUN, _BEST_FIRST, _BEST_LAST, _COLUMNS = 0, 1, 2, 3, 4, 5, 6
_ONE: Final = np.uint64(1)
# Where in an n-gram the number of each of its bits stands; the lowest bit is always set.
_FIRST_BIT, _SECOND_BIT, _THIRD_BIT = np.uint64(1), np.uint64(7), np.uint64(13)
_LOW: Final = np.uint64(63)


@dataclass(frozen=True, slots=True)
class ContainmentMatches:
    """Pairs of a text and an item that it contains, k of them, by text and then by item.

    Attributes:
        text: int64[k], number of the text.
        item: int64[k], number of the item.
        matched: int64[k], distinct n-grams of the item that the text has.
        first: int64[k], first word in the text of the longest run of them.
        last: int64[k], last word of that run.
    """

    text: NDArray[np.int64]
    item: NDArray[np.int64]
    matched: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


class ItemIndex(NamedTuple):
    """The n-grams of m items, ready for look-up: about 25 bytes for each of p n-grams.

    Attributes:
        ngram: uint64[p], sorted; an n-gram, as `shingle_sets` hashes it, once for each item that
            has it.
        item: int32[p], the item of each.
        length: int32[m], words in the n-grams of each item.
        needed: int32[m], n-grams from which on a text contains the item, at least 1.
        lengths: int64[l], the lengths that occur.
        directory: int32[2**k + 1], n-grams before each value of the upper k bits.
        by_bucket: 64 - k.
        filter: uint64[2**(k - 2)]; a word for each value of the upper k - 2 bits.
        by_word: 64 - (k - 2).
    """

    ngram: NDArray[np.uint64]
    item: NDArray[np.int32]
    length: NDArray[np.int32]
    needed: NDArray[np.int32]
    lengths: NDArray[np.int64]
    directory: NDArray[np.int32]
    by_bucket: np.uint64
    filter: NDArray[np.uint64]
    by_word: np.uint64


class _State(NamedTuple):
    """Working memory: of a block of text, of n-grams (p) and of items (m).

    Arrays as long as the items start as zeros, so that the system provides only the pages in use.
    """

    block: NDArray[np.uint64]
    sums: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    last_text: NDArray[np.int32]
    progress: NDArray[np.int32]
    reached: NDArray[np.int32]


def item_index(
    ngram: NDArray[np.uint64],
    item: NDArray[np.int32],
    length: NDArray[np.int32],
    needed: NDArray[np.int32],
) -> ItemIndex:
    """The index over arrays as the attributes of `ItemIndex` say."""
    bits = max(len(ngram) - 1, 1 << _MIN_BITS).bit_length()
    by_bucket = np.uint64(64 - bits)
    by_word = by_bucket + np.uint64(_NGRAMS_PER_WORD_LOG)
    directory = np.zeros((1 << bits) + 1, np.int32)
    words = np.zeros(1 << (bits - _NGRAMS_PER_WORD_LOG), np.uint64)
    _fill(ngram, by_bucket, by_word, directory, words)
    lengths = np.unique(length).astype(np.int64)
    return ItemIndex(ngram, item, length, needed, lengths, directory, by_bucket, words, by_word)


def contained_items(text: pa.LargeStringArray, index: ItemIndex) -> ContainmentMatches:
    """The items that each of n texts contains. A null counts as empty."""
    buffers = text_buffers(text)
    state = _State(
        block=np.empty(MAX_WORDS, np.uint64),
        sums=np.zeros(int(index.lengths.max(initial=1)) + MAX_WORDS, np.uint64),
        hashes=np.empty(MAX_WORDS, np.uint64),
        places=np.empty(MAX_WORDS, np.int64),
        last_text=np.zeros(len(index.ngram), np.int32),
        progress=np.zeros((len(index.length), _COLUMNS), np.int32),
        reached=np.zeros(len(index.length), np.int32),
    )
    rows = _scan_all(buffers.data, buffers.offsets, word_table(), multipliers(), index, state)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return ContainmentMatches(*np.ascontiguousarray(rows.T))


@numba.njit("uint64(uint64)", cache=True)
def _bits(ngram: np.uint64) -> np.uint64:
    """The bits of an n-gram in its word of the filter."""
    return (
        (_ONE << ((ngram >> _FIRST_BIT) & _LOW))
        | (_ONE << ((ngram >> _SECOND_BIT) & _LOW))
        | (_ONE << ((ngram >> _THIRD_BIT) & _LOW))
    )


@numba.njit(
    (
        *(numba.uint64[::1], numba.uint64, numba.uint64),
        *(numba.int32[::1], numba.uint64[::1]),
    ),
    cache=True,
    nogil=True,
)
def _fill(
    ngram: NDArray[np.uint64],
    by_bucket: np.uint64,
    by_word: np.uint64,
    directory: NDArray[np.int32],
    words: NDArray[np.uint64],
) -> None:
    for i in range(len(ngram)):
        words[ngram[i] >> by_word] |= _bits(ngram[i])
        directory[(ngram[i] >> by_bucket) + _ONE] += 1
    for bucket in range(1, len(directory)):
        directory[bucket] += directory[bucket - 1]


@numba.njit(cache=True)
def _hash_runs(state: _State, first: int, found: int, length: int) -> None:
    """Hash the runs of ``length`` words that end at words ``first`` to ``found`` of the block."""
    factor = power_of_base(length)
    behind = len(state.sums) - MAX_WORDS + first
    # Views: no index can be negative, and the loop is free of checks for it.
    ends, starts = state.sums[behind:], state.sums[behind - length :]
    for i in range(found - first):
        state.hashes[i] = mix(ends[i] - starts[i] * factor) | _ONE


@numba.njit(cache=True)
def _pass_filter(
    hashes: NDArray[np.uint64],
    number: int,
    words: NDArray[np.uint64],
    by_word: np.uint64,
    places: NDArray[np.int64],
) -> int:
    """Put the places of hashes that pass the filter into ``places``; returns their number."""
    kept = np.uint64(0)
    for i in range(number):  # no branch: it would be mispredicted at every hash that passes
        bits = _bits(hashes[i])
        places[kept] = i
        kept += np.uint64((words[hashes[i] >> by_word] & bits) == bits)
    return int(np.int64(kept))


@numba.njit(cache=True)
def _find(index: ItemIndex, wanted: np.uint64) -> int:
    """The first place of an n-gram in the index, or -1."""
    bucket = wanted >> index.by_bucket
    low, end = index.directory[bucket], index.directory[bucket + _ONE]
    high = end
    while low < high:
        middle = (low + high) // 2
        if index.ngram[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and index.ngram[low] == wanted else -1


@numba.njit(cache=True)
def _count_ngram(entry: NDArray[np.int32], text: int, word: int) -> int:
    """Count an n-gram that ends at a word of a text for an item; returns its new count."""
    if entry[_TEXT] != text:
        entry[_TEXT], entry[_MATCHED], entry[_LAST] = text, 0, -2
        entry[_BEST_FIRST], entry[_BEST_LAST] = word, word
    if entry[_LAST] != word - 1:
        entry[_RUN] = word
    entry[_LAST] = word
    if word - entry[_RUN] > entry[_BEST_LAST] - entry[_BEST_FIRST]:
        entry[_BEST_FIRST], entry[_BEST_LAST] = entry[_RUN], word
    entry[_MATCHED] += 1
    return int(entry[_MATCHED])


@numba.njit(cache=True)
def _count(
    index: ItemIndex, state: _State, candidates: int, text: int, first: int, reached: int
) -> int:
    """Count the n-grams at ``state.places[:candidates]`` for the items that have them.

    Args:
        index: the items.
        state: working memory.
        candidates: how many of the n-grams in ``state.hashes`` passed the filter.
        text: number of the text, from 1 on.
        first: the word of the text that ends the first n-gram in ``state.hashes``.
        reached: how many items the text contains so far.

    Returns:
        How many items it contains now.
    """
    for place in state.places[:candidates]:
        wanted = state.hashes[place]
        at = _find(index, wanted)
        # Only the first time that a text has an n-gram counts.
        if at < 0 or state.last_text[at] == text:
            continue
        state.last_text[at] = text
        while at < len(index.ngram) and index.ngram[at] == wanted:
            item = index.item[at]
            if _count_ngram(state.progress[item], text, first + place) == index.needed[item]:
                state.reached[reached] = item
                reached += 1
            at += 1
    return reached


@numba.njit(cache=True)
def _scan_text(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    index: ItemIndex,
    state: _State,
    text: int,
) -> int:
    """Put the items that ``data[start:stop]`` contains into ``state.reached``; returns how many."""
    cursor = np.zeros(CURSOR, np.uint64)
    cursor[0] = start
    history = len(state.sums) - MAX_WORDS
    for i in range(history):
        state.sums[i] = np.uint64(0)
    seen, reached = 0, 0
    while cursor[0] < np.uint64(stop):
        end = scan_words(data, np.uint64(stop), table, factors, cursor, state.block, np.uint64(0))
        found = int(np.int64(end))
        sum_words(state.block, np.uint64(found), history, state.sums)
        for length in index.lengths:
            skip = min(found, max(0, length - 1 - seen))
            _hash_runs(state, skip, found, length)
            candidates = _pass_filter(
                state.hashes, found - skip, index.filter, index.by_word, state.places
            )
            reached = _count(index, state, candidates, text, seen + skip, reached)
        seen += found
        for i in range(history):
            state.sums[i] = state.sums[found + i]
    return reached


@numba.njit(cache=True)
def _with_room(rows: NDArray[np.int64], needed: int) -> NDArray[np.int64]:
    """Rows with the same content and room for ``needed``."""
    if needed <= len(rows):
        return rows
    larger = np.empty((2 * needed, rows.shape[1]), np.int64)
    for i in range(rows.shape[0]):  # a loop: an array expression takes longer to compile
        for j in range(rows.shape[1]):
            larger[i, j] = rows[i, j]
    return larger


_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)
_INDEX: Final = numba.types.NamedTuple(  # type: ignore[no-untyped-call]
    (
        *(numba.uint64[::1], numba.int32[::1], numba.int32[::1], numba.int32[::1]),
        *(numba.int64[::1], numba.int32[::1], numba.uint64, numba.uint64[::1], numba.uint64),
    ),
    ItemIndex,
)
_STATE: Final = numba.types.NamedTuple(  # type: ignore[no-untyped-call]
    (
        *(numba.uint64[::1], numba.uint64[::1], numba.uint64[::1], numba.int64[::1]),
        *(numba.int32[::1], numba.int32[:, ::1], numba.int32[::1]),
    ),
    _State,
)


@numba.njit(
    (_READ_U8, _READ_I64, _READ_U32, numba.uint64[::1], _INDEX, _STATE), cache=True, nogil=True
)
def _scan_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    index: ItemIndex,
    state: _State,
) -> NDArray[np.int64]:
    """The matches of all texts, int64[k, 5]: columns as the attributes of `ContainmentMatches`."""
    rows = np.empty((64, 5), np.int64)
    kept = 0
    for text in range(len(offsets) - 1):
        reached = _scan_text(
            data, offsets[text], offsets[text + 1], table, factors, index, state, text + 1
        )
        rows = _with_room(rows, kept + reached)
        for item in state.reached[:reached]:
            entry = state.progress[item]
            rows[kept, 0], rows[kept, 1], rows[kept, 2] = text, item, entry[_MATCHED]
            rows[kept, 3] = entry[_BEST_FIRST] - index.length[item] + 1
            rows[kept, 4] = entry[_BEST_LAST]
            kept += 1
    return rows[:kept]
