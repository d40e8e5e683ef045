"""What counts as a word: one packed entry per Unicode code point.

A word is a lower-cased run of characters for which ``isalnum()`` holds, or "_"; each Han,
Hiragana or Katakana character is a word of its own. An entry is 0 for a character outside words,
else its lower-case code point in the low 21 bits with the flags `BREAK_BEFORE` and `BREAK_AFTER`
above them. The table is shipped as a file so that a fingerprint does not depend on the Unicode
version of the Python that computes it.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import zstandard

__all__ = ["BREAK_AFTER", "BREAK_BEFORE", "CODE_POINTS", "build_table", "pack_table", "word_table"]

CODE_POINTS: Final = 0x110000
BREAK_BEFORE: Final = 1 << 31
BREAK_AFTER: Final = 1 << 30

_FILE: Final = "words.bin.zst"
# Script=Han, Hiragana or Katakana by name: the standard library has no script property
_OWN_WORD_NAMES: Final = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "IDEOGRAPHIC ITERATION MARK",
    "IDEOGRAPHIC NUMBER ZERO",
    "HANGZHOU NUMERAL",
    "VERTICAL IDEOGRAPHIC ITERATION MARK",
    "HIRAGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "HENTAIGANA",
)


@cache
def word_table() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The packed table, uint32[0x110000], read-only; loaded once per process."""
    packed = resources.files(__package__).joinpath(_FILE).read_bytes()
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), dtype="<u4")


def build_table() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The table from this Python's `unicodedata`, uint32[0x110000]."""
    entries = (_entry(chr(code)) for code in range(CODE_POINTS))
    return np.fromiter(entries, dtype="<u4", count=CODE_POINTS)


def pack_table() -> bytes:
    """Content of the shipped file: the table of this Python, little endian, zstd.

    To renew the file, write this to ``words.bin.zst`` beside this module. It changes every
    fingerprint that holds a character whose entry changed, so it is a new format version.
    """
    return zstandard.ZstdCompressor(level=19).compress(build_table().tobytes())


def _entry(char: str) -> int:
    if not (char.isalnum() or char == "_"):
        return 0
    lower = char.lower()
    if unicodedata.name(char, "").startswith(_OWN_WORD_NAMES):
        return ord(char) | BREAK_BEFORE | BREAK_AFTER
    # U+0130 lowers to "i" and a combining dot, which is no such character and so ends the word
    return ord(lower[0]) | (BREAK_AFTER if len(lower) > 1 else 0)
