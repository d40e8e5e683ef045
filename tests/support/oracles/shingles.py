"""The shingles of a text in plain Python, as the kernels must find them."""

from __future__ import annotations

from strata.pipelines.kernels.words import BREAK_AFTER, BREAK_BEFORE, word_table

M = 2**64 - 1
BASE = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """The finisher of splitmix64."""
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M
    return x ^ x >> 31


FACTORS = [mix(i * BASE & M) | 1 for i in range(1, 65)]


def words_of(text: str) -> list[list[int]]:
    """Lists of lower-case code points."""
    words: list[list[int]] = [[]]
    for char in text:
        entry = int(word_table()[ord(char)])
        if entry == 0 or entry & BREAK_BEFORE:
            words.append([])
        if entry:
            words[-1].append(entry & 0x1FFFFF)
        if entry & BREAK_AFTER:
            words.append([])
    return [word for word in words if word]


def hash_of(word: list[int]) -> int:
    """The hash of a word."""
    total, position = 0, 0
    for code in word:
        total, position = (total + code * FACTORS[position]) & M, position + 1
        if position == 64:
            total, position = mix(total), 1
    return ((total ^ total >> 32) * 0xD6E8FEB86659FD93) & M


def shingles_of(text: str, ngram: int) -> list[int]:
    """Hashes of the shingles of a text, with repetitions."""
    hashes = [hash_of(word) for word in words_of(text)]
    runs = [hashes[i : i + ngram] for i in range(max(1, len(hashes) - ngram + 1))]
    found = []
    for run in filter(None, runs):
        state = 0
        for value in run:
            state = (state * BASE + value) & M
        found.append(mix(state))
    return found


def jaccard_of(a: str, b: str, ngram: int) -> float:
    """Jaccard similarity of the sets of word n-grams of two texts."""
    left, right = ({*map(tuple, _runs(text, ngram))} for text in (a, b))
    return len(left & right) / max(1, len(left | right))


def _runs(text: str, ngram: int) -> list[list[tuple[int, ...]]]:
    words = [tuple(word) for word in words_of(text)]
    return [words[i : i + ngram] for i in range(max(1, len(words) - ngram + 1))] if words else []
