"""Words of texts the slow and plain way, as an oracle."""

from __future__ import annotations

from dataclasses import dataclass

from strata.pipelines.kernels.words import BREAK_AFTER, BREAK_BEFORE, word_table


@dataclass(frozen=True)
class Word:
    """A word in lower case, and its bytes in UTF-8."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words of a text with their bytes."""
    words: list[Word] = []
    at, open_word = 0, False
    for char in text:
        entry, size = int(word_table()[ord(char)]), len(char.encode())
        if entry:
            if not open_word or entry & BREAK_BEFORE:
                words.append(Word("", at, at))
            code = chr(entry & 0x1FFFFF)
            words[-1] = Word(words[-1].text + code, words[-1].start, at + size)
        open_word = bool(entry) and not entry & BREAK_AFTER
        at += size
    return words
