"""Pieces of a training text that are too long to train on whole: one letter a million times, DNA.

A trainer of BPE looks for merges inside of pieces: runs of letters, digits, white space or other
characters. Each merge costs it the length of the piece, so a piece of n bytes costs n² in all, and
32 bytes of memory a byte. Long pieces are therefore cut, and of what was cut a bounded amount is
trained on. Texts without such pieces stay as they are.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers

__all__ = ["LongPieces", "TrainingTexts", "cut_long_pieces"]

CODE_POINTS = 0x110000
OTHER, LETTER, NUMBER, SPACE = range(4)
BLANK = 0x20


@dataclass(frozen=True, slots=True)
class LongPieces:
    """How much of long pieces is trained on.

    Attributes:
        piece_bytes: a longer piece is cut into pieces of at most this many bytes.
        kept_bytes: of the pieces that were cut, about this much is trained on, evenly spread. A
            trainer takes about 3 CPU seconds and 110 MB a MB of them where no two are alike.
    """

    piece_bytes: int = 256
    kept_bytes: int = 2_000_000


@dataclass(frozen=True, slots=True)
class TrainingTexts:
    """Texts to train on, and what was done to their long pieces.

    Attributes:
        texts: parts of the given texts, in their order.
        cut: pieces that were too long.
        left_out_bytes: bytes of them that are not trained on.
    """

    texts: pa.LargeStringArray
    cut: int = 0
    left_out_bytes: int = 0


def cut_long_pieces(texts: pa.LargeStringArray, limits: LongPieces = LongPieces()) -> TrainingTexts:
    """Cut texts inside of their long pieces, at characters, and thin what was cut.

    Args:
        texts: n texts, without nulls.
        limits: how long a piece may be, and how much of long ones is kept.
    """
    buffers = text_buffers(texts)
    classes = _classes()
    number, cut, n_bytes = _scan(buffers.offsets, buffers.data, classes, limits.piece_bytes)
    if not cut:
        return TrainingTexts(texts)
    offsets = np.empty(number + 1, np.int64)
    inner = np.empty(number, np.bool_)
    _cut(buffers.offsets, buffers.data, classes, limits.piece_bytes, offsets, inner)
    parts = pa.LargeStringArray.from_buffers(number, pa.py_buffer(offsets), texts.buffers()[2])
    every = max(1, -(-n_bytes // limits.kept_bytes))
    kept = ~inner | (np.cumsum(inner) % every == 1 % every)
    left_out = int(np.diff(offsets)[~kept].sum())
    return TrainingTexts(parts.filter(pa.array(kept)), int(cut), left_out)


@cache
def _classes() -> NDArray[np.uint8]:
    """The class of each code point, by which byte-level BPE tells pieces apart."""
    characters = map(chr, range(CODE_POINTS))
    return np.fromiter(map(_class, characters), np.uint8, count=CODE_POINTS)


def _class(character: str) -> int:
    if character.isspace():
        return SPACE
    category = unicodedata.category(character)[0]
    return {"L": LETTER, "N": NUMBER}.get(category, OTHER)


@numba.njit(cache=True)
def _width(byte: int) -> int:
    if byte < 0x80:
        return 1
    if byte < 0xE0:
        return 2
    return 3 if byte < 0xF0 else 4


@numba.njit(cache=True)
def _code_point(data: NDArray[np.uint8], place: int, width: int) -> int:
    if width == 1:
        return int(data[place])
    code = int(data[place]) & (0xFF >> (width + 1))
    for step in range(1, width):
        code = (code << 6) | (int(data[place + step]) & 0x3F)
    return code


@numba.njit(cache=True)
def _piece_end(data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8]) -> int:
    """Where the run of characters of one class that begins at ``start`` ends."""
    width = _width(data[start])
    kind = classes[_code_point(data, start, width)]
    place = start + width
    while place < stop:
        width = _width(data[place])
        if classes[_code_point(data, place, width)] != kind:
            break
        place += width
    # The blank before a word belongs to the word.
    if kind == SPACE and place < stop and data[place - 1] == BLANK and place - 1 > start:
        return place - 1
    return place


@numba.njit(cache=True)
def _part_end(data: NDArray[np.uint8], start: int, stop: int, limit: int) -> int:
    """Where a part of at most ``limit`` bytes ends; it holds one character at least."""
    if stop - start <= limit:
        return stop
    place = start + limit
    while place > start and data[place] & 0xC0 == 0x80:
        place -= 1
    return place if place > start else start + _width(data[start])


@numba.njit(cache=True)
def _scan(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], classes: NDArray[np.uint8], limit: int
) -> tuple[int, int, int]:
    """The number of parts that `_cut` makes, of long pieces, and of the bytes of these."""
    number = cut = n_bytes = 0
    for text in range(len(offsets) - 1):
        place, stop = offsets[text], offsets[text + 1]
        number += 1
        while place < stop:
            end = _piece_end(data, place, stop, classes)
            if end - place > limit:
                cut += 1
                n_bytes += end - place
                # The text before the piece is a part of its own, and so is what follows it.
                number += 1
                while place < end:
                    place = _part_end(data, place, end, limit)
                    number += 1
            place = end
    return number, cut, n_bytes


@numba.njit(cache=True)
def _cut(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    limit: int,
    out: NDArray[np.int64],
    inner: NDArray[np.bool_],
) -> None:
    """Write where parts begin, and which are parts of long pieces; some others are empty."""
    part = 0
    out[0] = offsets[0]
    for text in range(len(offsets) - 1):
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            end = _piece_end(data, place, stop, classes)
            if end - place > limit:
                inner[part] = False
                part += 1
                out[part] = place
                while place < end:
                    place = _part_end(data, place, end, limit)
                    inner[part] = True
                    part += 1
                    out[part] = place
            place = end
        inner[part] = False
        part += 1
        out[part] = stop
