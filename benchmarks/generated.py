"""A corpus made of nothing but a seed, the same on every machine: for counts that must be exact."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from benchmarks.corpus import Corpus

__all__ = ["generated_corpus"]

FILES = 4
# Letters, and how long a word of them is; of Han, each character is a word.
SCRIPTS = (
    ("etaoinshrdlucmfw", 7),
    ("оеаинтсрвлкмдпуя", 8),
    ("的一是不了人我在有他这为之大来以", 2),
)
VOCABULARY = 6_000
WORDS = 900
EXACT, NEAR = 0.1, 0.15
Draw = Callable[[], float]


def generated_corpus(folder: Path, documents: int) -> Corpus:
    """Write so many documents of about 5 kB in four files of JSON lines.

    Words are frequent as in natural text (Zipf); one document in ten is an equal copy of an
    earlier one, and three in twenty differ from one in a single word.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each, ensure_ascii=False).encode() for each in _documents(documents)]
    for part in range(FILES):
        data = b"\n".join(lines[part::FILES]) + b"\n"
        compressed = zstandard.ZstdCompressor(level=3).compress(data)
        (folder / f"part-{part}.jsonl.zst").write_bytes(compressed)
    return Corpus("generated", folder, None)


def _documents(number: int) -> Iterator[dict[str, str]]:
    # Python promises that random() of a seed stays the same; of its other methods it does not.
    draw = random.Random(20_000).random
    vocabularies = [_words(letters, longest, draw) for letters, longest in SCRIPTS]
    earlier: list[list[str]] = []
    for place in range(number):
        chance = draw()
        if earlier and chance < EXACT + NEAR:
            words = list(earlier[int(draw() * len(earlier))])
            if chance >= EXACT:
                words[int(draw() * len(words))] = f"changed{place}"
        else:
            words = _text(vocabularies[int(draw() ** 2 * len(SCRIPTS))], draw)
            earlier.append(words)
        yield {"id": f"d{place}", "text": " ".join(words), "lang": "xx"}


def _words(letters: str, longest: int, draw: Draw) -> list[str]:
    return [
        "".join(letters[int(draw() * len(letters))] for _ in range(1 + int(draw() * longest)))
        for _ in range(VOCABULARY)
    ]


def _text(vocabulary: list[str], draw: Draw) -> list[str]:
    length = WORDS // 2 + int(draw() * WORDS)
    # The rank of a word drawn like this falls off as 1 / rank, as in Zipf's law.
    return [vocabulary[int(VOCABULARY ** draw()) - 1] for _ in range(length)]
