"""The input of the examples: small texts, the same at every call."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

__all__ = ["sample_texts", "write_jsonl"]

WORDS = (
    *("river", "stone", "lamp", "garden", "letter", "winter", "bridge", "copper", "window"),
    *("travel", "music", "paper", "harbour", "field", "engine", "silver", "morning", "forest"),
    *("clock", "market", "valley", "basket", "candle", "thunder", "meadow", "anchor", "ribbon"),
)


def sample_texts(count: int, seed: int, words: int = 60) -> list[str]:
    """Texts of random words; other seeds give other texts."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=words)) + "." for _ in range(count)]


def write_jsonl(file: Path, texts: Sequence[str], prefix: str) -> None:
    """One JSON line a text, with the ids ``PREFIX-N``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"id": f"{prefix}-{n}", "text": text} for n, text in enumerate(texts)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
