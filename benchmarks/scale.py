"""A corpus N times as large: every copy has words of its own, and a share of real duplicates.

In copy k a word stands for the word whose rank in the corpus is its own rank XOR k: words of about
the same frequency change places. Lengths, scripts, tokens a byte and compressibility stay nearly
what they were, duplicates inside a copy stay duplicates, and documents of two copies have no
shingle in common, except for the shares below.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import zstandard

from benchmarks.corpus import Corpus, decompressed

__all__ = ["scaled"]

# In every copy, of 100 documents: so many stay as they are, and so many change in one word.
EXACT_OF_100 = 1
NEAR_OF_100 = 1
HAN_KANA = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
PIECES = re.compile(rf"[{HAN_KANA}]|[^\W{HAN_KANA}]+|[^\w]+")
VERSION = 1


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Words of each class by falling frequency."""

    ranked: dict[str, list[str]]

    def substitutes(self, copy: int) -> dict[str, str]:
        """What stands for each word in a copy."""
        table = {}
        for words in self.ranked.values():
            for place, word in enumerate(words):
                if place ^ copy < len(words):
                    table[word] = words[place ^ copy]
        return table


def scaled(corpus: Corpus, scale: int, scratch: Path, workers: int = 2) -> Corpus:
    """The corpus repeated ``scale`` times, made once below ``scratch``.

    Args:
        corpus: what is repeated; copy 0 is the corpus itself.
        scale: 1 or more.
        scratch: a folder that outlives the run, or the copies are made every time.
        workers: processes that make copies.
    """
    if scale == 1:
        return corpus
    folder = scratch / f"{corpus.name}-x{scale}-v{VERSION}"
    files = sorted(corpus.folder.glob("*.jsonl.zst"))
    if not folder.is_dir():
        draft = folder.with_name(folder.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        with ProcessPoolExecutor(workers) as pool:
            counts = sum(pool.map(_count, files), Counter())
            work = partial(_copies, vocabulary=_ranked(counts), scale=scale, folder=draft)
            list(pool.map(work, files))
        draft.rename(folder)
    return replace(corpus, name=f"{corpus.name} × {scale}", folder=folder, evaluate=None)


def _count(file: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in decompressed(file).splitlines():
        counts.update(PIECES.findall(json.loads(line)["text"]))
    return counts


def _kind(word: str) -> str:
    if re.match(f"[{HAN_KANA}]", word):
        return "han"
    if word.isdigit():
        return f"digits {len(word)}"
    case = "title" if word.istitle() else "upper" if word.isupper() else "lower"
    return f"{case} {'ascii' if word.isascii() else 'other'}"


def _ranked(counts: Counter[str]) -> _Vocabulary:
    ranked: dict[str, list[str]] = {}
    for word in sorted(counts, key=lambda each: (-counts[each], each)):
        if word[0].isalnum() or word[0] == "_":
            ranked.setdefault(_kind(word), []).append(word)
    return _Vocabulary(ranked)


def _copies(file: Path, vocabulary: _Vocabulary, scale: int, folder: Path) -> None:
    name = file.name.removesuffix(".jsonl.zst")
    shutil.copyfile(file, folder / f"{name}-c00.jsonl.zst")
    documents = [json.loads(line) for line in decompressed(file).splitlines()]
    pieces = [PIECES.findall(document["text"]) for document in documents]
    for copy in range(1, scale):
        lines = _copy(documents, pieces, vocabulary.substitutes(copy), copy)
        data = zstandard.ZstdCompressor(3).compress(b"".join(lines))
        (folder / f"{name}-c{copy:02d}.jsonl.zst").write_bytes(data)


def _copy(
    documents: Iterable[dict[str, object]],
    pieces: Iterable[list[str]],
    substitutes: dict[str, str],
    copy: int,
) -> Iterator[bytes]:
    for number, (document, words) in enumerate(zip(documents, pieces, strict=True)):
        # Each copy repeats other documents of the corpus.
        share = (number + 37 * copy) % 100
        text = words
        if share >= EXACT_OF_100 + NEAR_OF_100:
            text = [substitutes.get(word, word) for word in words]
        elif share >= EXACT_OF_100:
            text = list(words)
            place = min(range(len(text)), key=lambda n: (text[n] not in substitutes, n), default=0)
            if text:
                text[place] = substitutes.get(text[place], text[place])
        changed = {**document, "id": f"{document['id']}-c{copy}", "text": "".join(text)}
        yield json.dumps(changed, ensure_ascii=False).encode() + b"\n"
