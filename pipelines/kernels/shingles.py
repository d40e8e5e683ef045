"""Text to word hashes to shingle hashes, a block of text at a time.

The hash of a word is multilinear in its lower-case code points (Thorup: High Speed Hashing for
Integers and Strings, 2015, section 3.3), that of a shingle a rolling polynomial over its words.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.words import BREAK_AFTER, BREAK_BEFORE
from strata.storage.checksums.hashing import mix

__all__ = [
    "CURSOR",
    "MAX_WORDS",
    "decode",
    "multipliers",
    "power_of_base",
    "roll_shingles",
    "scan_words",
    "sum_words",
]

MAX_WORDS: Final = 2056
"""Words that one call of `scan_words` finds at most; they stay in the L1 cache."""
CURSOR: Final = 3
"""Length of a cursor, uint64: the byte to read next, the open word's length and its hash."""

_BLOCK: Final = np.uint64(MAX_WORDS - 8)  # bytes; the last character may end up to 3 bytes later
_AT, _LENGTH, _HASH = 0, 1, 2
_POSITIONS: Final = np.uint64(64)
_CODE: Final = np.uint32(0x1FFFFF)
_BEFORE: Final = np.uint32(BREAK_BEFORE)
_AFTER: Final = np.uint32(BREAK_AFTER)
_WORD: Final = np.uint64(0xD6E8FEB86659FD93)
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_S32: Final = np.uint64(32)
_ONE: Final = np.uint64(1)
_ZERO: Final = np.uint64(0)
_TWO: Final = np.uint64(2)


def multipliers() -> NDArray[np.uint64]:
    """An odd multiplier for each position in a word, uint64[64]; part of the signature format."""
    steps = np.arange(1, int(_POSITIONS) + 1, dtype=np.uint64) * _BASE
    return np.array([int(mix(step)) | 1 for step in steps], dtype=np.uint64)


@numba.njit(cache=True)
def decode(data: NDArray[np.uint8], at: np.uint64) -> np.uint32:
    """The code point of a character of more than one byte at ``data[at]``."""
    lead = np.uint32(data[at])
    second = np.uint32(data[at + _ONE]) & np.uint32(0x3F)
    if lead < 0xE0:
        return ((lead & np.uint32(0x1F)) << np.uint32(6)) | second
    third = np.uint32(data[at + _TWO]) & np.uint32(0x3F)
    if lead < 0xF0:
        return ((lead & np.uint32(0x0F)) << np.uint32(12)) | (second << np.uint32(6)) | third
    fourth = np.uint32(data[at + _ONE + _TWO]) & np.uint32(0x3F)
    high = ((lead & np.uint32(0x07)) << np.uint32(18)) | (second << np.uint32(12))
    return high | (third << np.uint32(6)) | fourth


@numba.njit(cache=True)
def scan_words(
    data: NDArray[np.uint8],
    stop: np.uint64,
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    cursor: NDArray[np.uint64],
    words: NDArray[np.uint64],
    found: np.uint64,
    places: NDArray[np.int64] | None = None,
) -> np.uint64:
    """Put the hashes of the words that end in the next block into ``words[found:]``.

    Returns the end of the words in ``words``. A word that is open at the end of the block stays in
    the cursor; the end of the text, ``stop``, closes it. Where ``places``, int64[n, 2], is given,
    the word ``words[i]`` is ``data[places[i, 0] : places[i, 1]]``; the start of an open word waits
    in ``places[found, 0]``.
    """
    at, length, word = cursor[_AT], cursor[_LENGTH], cursor[_HASH]
    end = min(stop, at + _BLOCK)
    while at < end:
        byte = data[at]
        # a test that numba makes once, when it compiles: without places none of it is there
        if places is not None:
            if length == _ZERO:
                places[found, 0] = np.int64(at)
            places[found, 1] = np.int64(at)
        if byte < 0x80:
            # no branch on the end of a word: it would be mispredicted at nearly every word
            code = np.uint64(table[byte])
            inside = np.uint64(code != _ZERO)
            words[found] = word
            found += np.uint64(length != _ZERO) & (inside ^ _ONE)
            word = (word + code * factors[length]) & (_ZERO - inside)
            length = (length + _ONE) & (_ZERO - inside)
            at += _ONE
            if length == _POSITIONS:
                word, length = mix(word), _ONE
            continue
        entry = table[decode(data, at)]
        at += _TWO + np.uint64(byte >= 0xE0) + np.uint64(byte >= 0xF0)
        if length != 0 and (entry == 0 or (entry & _BEFORE) != 0):
            words[found] = word
            found += _ONE
            word, length = _ZERO, _ZERO
            if places is not None:
                places[found, 0] = places[found - _ONE, 1]
        if entry != 0:
            word += np.uint64(entry & _CODE) * factors[length]
            length += _ONE
            if length == _POSITIONS:
                word, length = mix(word), _ONE
            if (entry & _AFTER) != 0:
                if places is not None:
                    places[found, 1] = np.int64(at)
                words[found] = word
                found += _ONE
                word, length = _ZERO, _ZERO
    if at >= stop and length != 0:
        if places is not None:
            places[found, 1] = np.int64(at)
        words[found] = word
        found += _ONE
        word, length = _ZERO, _ZERO
    cursor[_AT], cursor[_LENGTH], cursor[_HASH] = at, length, word
    return found


@numba.njit(cache=True)
def roll_shingles(
    words: NDArray[np.uint64], found: np.uint64, ngram: int, rolled: NDArray[np.uint64]
) -> None:
    """Put the hash of the shingle that ends at ``words[ngram + i]`` into ``rolled[1 + i]``.

    ``words[:ngram]`` are the words before them, 0 where there was none, and move on to the words
    before the next block. ``rolled[0]`` is the shingle at the last word, and moves on likewise.
    """
    leaving = _ONE
    for _ in range(ngram):
        leaving *= _BASE
    before = np.uint64(ngram)
    for i in range(before, before + found):
        words[i] = (words[i] ^ (words[i] >> _S32)) * _WORD
    state = rolled[0]
    for i in range(found):
        state = state * _BASE + (words[before + i] - words[i] * leaving)
        rolled[_ONE + i] = state
    rolled[0] = state
    for i in range(before):
        words[i] = words[found + i]


@numba.njit(cache=True)
def sum_words(
    words: NDArray[np.uint64], found: np.uint64, history: int, sums: NDArray[np.uint64]
) -> None:
    """Put the polynomial over all words up to ``words[i]`` into ``sums[history + i]``.

    ``sums[:history]`` are those of the words before. The hash of the shingle of n words that ends
    at ``words[i]`` is ``sums[history + i] - sums[history + i - n] * BASE**n``, for every n up to
    ``history`` at once (Karp and Rabin: Efficient Randomized Pattern-Matching Algorithms, 1987).
    """
    before = np.uint64(history)
    state = sums[before - _ONE]
    for i in range(np.int64(found)):
        state = state * _BASE + (words[i] ^ (words[i] >> _S32)) * _WORD
        sums[before + i] = state


@numba.njit(cache=True)
def power_of_base(exponent: int) -> np.uint64:
    """``BASE**exponent``, modulo 2**64."""
    power = _ONE
    for _ in range(exponent):
        power *= _BASE
    return power
