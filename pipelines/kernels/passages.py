"""Lines and paragraphs of texts, with hashes of their words.

A line ends with its line feed. A paragraph is a run of lines that are not blank, with the blank
lines after it (for the first one: around it); a blank line holds nothing but ASCII white space.
Two passages are the same where their words are, as a shingle has them: case, spaces and punctuation
do not count. CCNet (Wenzek et al., LREC 2020, section 3.1) compares lines likewise, but also takes
all digits for the same one, which would make a line of one table out of that of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import CURSOR, MAX_WORDS, multipliers, scan_words
from strata.pipelines.kernels.words import word_table
from strata.settings import Passage
from strata.storage.checksums.hashing import mix

__all__ = ["FIELDS", "Passages", "find_passages"]

_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_ZERO: Final = np.uint64(0)
_POSITIVE: Final = np.uint64(0x7FFFFFFF)
_LINE_FEED: Final = np.uint8(10)
_SPACE: Final = np.uint8(32)


FIELDS: Final = 5
"""Columns of the fields of a passage: check, text, place, start, stop."""


@dataclass(frozen=True, slots=True)
class Passages:
    """Parts of texts, in the order of the texts and of their places.

    Attributes:
        key: uint64[m], hash of the words.
        check: int32[m], another hash; passages with equal keys and checks count as equal.
        text: int32[m], index of the text.
        place: int32[m], number of the passage, or of its first word, in its text.
        start: int32[m], first byte, from the beginning of the text.
        stop: int32[m], the byte behind the last.
    """

    key: NDArray[np.uint64]
    check: NDArray[np.int32]
    text: NDArray[np.int32]
    place: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]

    @classmethod
    def of(cls, key: NDArray[np.uint64], fields: NDArray[np.int32], found: int) -> Passages:
        """The first passages of arrays of a kernel, uint64[n] and int32[n, FIELDS], copied."""
        return cls(key[:found].copy(), *fields[:found].T.copy())

    def __len__(self) -> int:
        return len(self.key)


def find_passages(texts: pa.LargeStringArray, granularity: Passage, least_words: int) -> Passages:
    """The lines or paragraphs of texts that have at least ``least_words`` words."""
    buffers = text_buffers(texts)
    begins = _line_begins if granularity is Passage.LINE else _paragraph_begins
    bounds = np.zeros(len(texts) + 1, np.int64)
    # The unused part of an array takes no memory.
    starts = np.empty(int(buffers.offsets[-1] - buffers.offsets[0]) + 1, np.int64)
    count = begins(buffers.data, buffers.offsets, bounds, starts)
    key, fields = np.empty(count, np.uint64), np.empty((count, FIELDS), np.int32)
    found = _hash_passages(
        buffers.data,
        buffers.offsets,
        bounds,
        starts,
        word_table(),
        multipliers(),
        least_words,
        key,
        fields,
    )
    return Passages.of(key, fields, found)


@numba.njit(numba.int64(_READ_U8, _READ_I64, numba.int64[::1], numba.int64[::1]), cache=True)
def _line_begins(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> int:
    """Put the beginnings of all lines into ``starts``, then the end of the last; how many lines.

    Those of text i are ``starts[bounds[i] : bounds[i + 1]]``.
    """
    found = 0
    for text in range(len(offsets) - 1):
        fresh = True
        for at in range(offsets[text], offsets[text + 1]):
            if fresh:
                starts[found] = at
                found += 1
            fresh = data[at] == _LINE_FEED
        bounds[text + 1] = found
    starts[found] = offsets[-1]
    return found


@numba.njit(numba.int64(_READ_U8, _READ_I64, numba.int64[::1], numba.int64[::1]), cache=True)
def _paragraph_begins(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> int:
    """Like `_line_begins`, for paragraphs."""
    found = 0
    for text in range(len(offsets) - 1):
        first = found
        line, blank, gap = offsets[text], True, False
        for at in range(offsets[text], offsets[text + 1]):
            byte = data[at]
            if blank and byte > _SPACE:
                blank = False
                if found == first or gap:
                    starts[found] = offsets[text] if found == first else line
                    found += 1
                gap = False
            if byte == _LINE_FEED:
                gap = gap or blank
                line, blank = at + 1, True
        bounds[text + 1] = found
    starts[found] = offsets[-1]
    return found


@numba.njit(
    numba.int64(
        *(_READ_U8, _READ_I64, numba.int64[::1], numba.int64[::1], _READ_U32),
        *(numba.uint64[::1], numba.int64, numba.uint64[::1], numba.int32[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _hash_passages(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    least_words: int,
    key: NDArray[np.uint64],
    fields: NDArray[np.int32],
) -> int:
    words, cursor = np.empty(MAX_WORDS, np.uint64), np.empty(CURSOR, np.uint64)
    kept = 0
    for i in range(len(offsets) - 1):
        for passage in range(bounds[i], bounds[i + 1]):
            begin = starts[passage]
            end = starts[passage + 1] if passage + 1 < bounds[i + 1] else offsets[i + 1]
            cursor[0], cursor[1], cursor[2] = begin, _ZERO, _ZERO
            folded, total, count = _ZERO, _ZERO, 0
            while cursor[0] < np.uint64(end):
                found = scan_words(data, np.uint64(end), table, factors, cursor, words, _ZERO)
                for word in words[:found]:
                    folded = mix(folded * _STEP + word)
                    total += word
                count += int(np.int64(found))
            if count >= least_words:
                key[kept] = folded
                fields[kept, 0] = np.int32(mix(total) & _POSITIVE)
                fields[kept, 1], fields[kept, 2] = i, passage - bounds[i]
                fields[kept, 3], fields[kept, 4] = begin - offsets[i], end - offsets[i]
                kept += 1
    return kept
