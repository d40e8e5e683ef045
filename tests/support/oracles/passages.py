"""Passages the slow and plain way, as an oracle: what repeats earlier text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.kernels.words import BREAK_AFTER, BREAK_BEFORE, word_table

Cut = tuple[int, int, int, int, int]
"""Document, start, end, first document, start there; bytes of UTF-8."""


@dataclass(frozen=True)
class Word:
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


def lines_of(text: str) -> list[str]:
    """Lines with their line feeds."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def paragraphs_of(text: str) -> list[str]:
    """Paragraphs with the blank lines behind them, the first with those before it too."""
    found: list[str] = []
    blanks, ended = "", True
    for line in lines_of(text):
        if not line.strip(" \t\r\n\v\f"):
            ended = True
            if found:
                found[-1] += line
            else:
                blanks += line
        elif ended:
            found.append(blanks + line)
            blanks, ended = "", False
        else:
            found[-1] += line
    return found


def repeated_units(units: Sequence[Sequence[str]], least_words: int) -> list[Cut]:
    """The lines or paragraphs that occur before, of documents that are given as these."""
    seen: dict[tuple[str, ...], tuple[int, int]] = {}
    cuts: list[Cut] = []
    for number, parts in enumerate(units):
        at = 0
        for part in parts:
            words = tuple(word.text for word in words_of(part))
            end = at + len(part.encode())
            if len(words) >= least_words:
                first = seen.setdefault(words, (number, at))
                if first != (number, at):
                    cuts.append((number, at, end, *first))
            at = end
    return cuts


def repeated_words(texts: Sequence[str], width: int) -> list[np.ndarray]:
    """Which words of each text lie in a run of ``width`` words that occurs before it."""
    seen: dict[tuple[str, ...], tuple[int, int]] = {}
    marked = []
    for number, text in enumerate(texts):
        words = [word.text for word in words_of(text)]
        mark = np.zeros(len(words), bool)
        for at in range(len(words) - width + 1):
            first, place = seen.setdefault(tuple(words[at : at + width]), (number, at))
            # A run that overlaps the first one is a part of it.
            if first != number or at >= place + width:
                mark[at : at + width] = True
        marked.append(mark)
    return marked


def without_bytes(text: str, ranges: Sequence[tuple[int, int]]) -> str:
    """A text without some ranges of its bytes."""
    data, gone = text.encode(), np.zeros(len(text.encode()), bool)
    for start, end in ranges:
        gone[start:end] = True
    return bytes(np.frombuffer(data, np.uint8)[~gone]).decode()
