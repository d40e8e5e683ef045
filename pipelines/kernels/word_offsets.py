"""Where words are in texts, for the few words that are shown to users."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import CURSOR, MAX_WORDS, multipliers, scan_words
from strata.pipelines.kernels.words import word_table

__all__ = ["word_offsets"]

_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)


def word_offsets(
    texts: pa.LargeStringArray, text: NDArray[np.int64], word: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The bytes of some words, int64[k, 2]: first byte and the one after the last.

    Args:
        texts: n texts. Only those in ``text`` are read, each once.
        text: int64[k], number of the text of each word.
        word: int64[k], number of the word in its text.

    Returns:
        Places in the bytes of the text, not of the array; 0 and 0 for a word that is not there.
    """
    buffers = text_buffers(texts)
    order = np.lexsort((word, text))
    found = np.zeros((len(order), 2), np.int64)
    _find_offsets(
        buffers.data,
        buffers.offsets,
        word_table(),
        multipliers(),
        np.ascontiguousarray(text[order]),
        np.ascontiguousarray(word[order]),
        found,
    )
    places = np.empty_like(found)
    places[order] = found
    return places


@numba.njit(
    (
        *(_READ_U8, _READ_I64, _READ_U32, numba.uint64[::1]),
        *(numba.int64[::1], numba.int64[::1], numba.int64[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _find_offsets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    factors: NDArray[np.uint64],
    text: NDArray[np.int64],
    word: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """Fill ``found`` for words that are sorted by text and number."""
    block = np.empty(MAX_WORDS, np.uint64)
    places = np.empty((MAX_WORDS, 2), np.int64)
    at = 0
    while at < len(text):
        here = text[at]
        start, stop = offsets[here], np.uint64(offsets[here + 1])
        cursor = np.zeros(CURSOR, np.uint64)
        cursor[0] = start
        seen = 0
        while cursor[0] < stop and at < len(text) and text[at] == here:
            end = scan_words(data, stop, table, factors, cursor, block, np.uint64(0), places)
            new = int(np.int64(end))
            while at < len(text) and text[at] == here and word[at] < seen + new:
                found[at, 0] = places[word[at] - seen, 0] - start
                found[at, 1] = places[word[at] - seen, 1] - start
                at += 1
            places[0, 0] = places[new, 0]  # where a word begins that the next block ends
            seen += new
        while at < len(text) and text[at] == here:
            at += 1
