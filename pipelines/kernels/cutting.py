"""Cutting byte ranges out of texts, over Arrow buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import BalanceError
from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import decode
from strata.pipelines.kernels.words import word_table

__all__ = ["CutTexts", "cut_texts"]

_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_U32: Final = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)


@dataclass(frozen=True, slots=True)
class CutTexts:
    """What is left of n texts.

    Attributes:
        text: large_string[n].
        has_words: bool[n], whether a text still has a word.
    """

    text: pa.LargeStringArray
    has_words: NDArray[np.bool_]


def cut_texts(
    texts: pa.LargeStringArray,
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> CutTexts:
    """Texts without some ranges of their bytes.

    Args:
        texts: n texts, without nulls.
        bounds: int64[n + 1]; the ranges of text i are from ``bounds[i]`` to ``bounds[i + 1]``.
        starts: int64[m], first byte of each range, ascending in each text; ranges may overlap.
        ends: int64[m], the byte behind the last.

    Raises:
        BalanceError: a range does not lie inside of its text, between two characters.
    """
    buffers = text_buffers(texts)
    offsets, data = buffers.offsets, np.empty(len(buffers.data), np.uint8)
    left, has_words = np.zeros(len(texts) + 1, np.int64), np.zeros(len(texts), np.bool_)
    wrong = _cut_all(
        buffers.data, offsets, bounds, starts, ends, word_table(), data, left, has_words
    )
    if wrong >= 0:
        raise BalanceError(
            f"a cut from byte {starts[wrong]:,} to {ends[wrong]:,} does not fit its text",
            hint="the table `cuts` is damaged or of other documents: run `strata dedup` again "
            "after `strata storage verify`",
        )
    text = pa.LargeStringArray.from_buffers(
        len(texts), pa.py_buffer(left), pa.py_buffer(data[: left[-1]])
    )
    return CutTexts(text, has_words)


@numba.njit(cache=True)
def _copy(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    out: NDArray[np.uint8],
    at: int,
) -> bool:
    """Copy ``data[start:stop]`` to ``out[at:]``; whether a character of a word is in it."""
    out[at : at + stop - start] = data[start:stop]
    while start < stop:
        byte = data[start]
        entry = table[byte] if byte < 0x80 else table[decode(data, np.uint64(start))]
        if entry != 0:
            return True
        start += 1 + int(byte >= 0xC0) + int(byte >= 0xE0) + int(byte >= 0xF0)
    return False


@numba.njit(cache=True)
def _is_boundary(data: NDArray[np.uint8], at: int, stop: int) -> bool:
    return at == stop or (data[at] & 0xC0) != 0x80


@numba.njit(
    numba.int64(
        *(_READ_U8, _READ_I64, _READ_I64, _READ_I64, _READ_I64, _READ_U32),
        *(numba.uint8[::1], numba.int64[::1], numba.boolean[::1]),
    ),
    cache=True,
    nogil=True,
)
def _cut_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    table: NDArray[np.uint32],
    out: NDArray[np.uint8],
    left: NDArray[np.int64],
    has_words: NDArray[np.bool_],
) -> int:
    """Fill ``out``, its offsets ``left`` and ``has_words``; number of a wrong range, or -1."""
    at = 0
    for i in range(len(offsets) - 1):
        first, stop = offsets[i], offsets[i + 1]
        kept = first
        for cut in range(bounds[i], bounds[i + 1]):
            start, end = first + starts[cut], first + ends[cut]
            if starts[cut] < 0 or start > end or end > stop:
                return cut
            if not (_is_boundary(data, start, stop) and _is_boundary(data, end, stop)):
                return cut
            if start > kept:
                has_words[i] |= _copy(data, kept, start, table, out, at)
                at += start - kept
            kept = max(kept, end)
        has_words[i] |= _copy(data, kept, stop, table, out, at)
        at += stop - kept
        left[i + 1] = at
    return -1
