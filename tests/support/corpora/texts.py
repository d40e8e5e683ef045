"""Real text that is on every machine: the standard library's own sources, cut into documents."""

from __future__ import annotations

import gzip
import json
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path


def library_texts(count: int, most_bytes: int = 20_000) -> list[str]:
    """Sources of the standard library, in the order of their names."""
    folder = Path(sysconfig.get_path("stdlib"))
    texts: list[str] = []
    for file in sorted(
        [*folder.glob("*.py"), *folder.glob("email/*.py"), *folder.glob("asyncio/*.py")]
    ):
        text = file.read_text("utf-8", errors="replace")
        if 200 < len(text) <= most_bytes:
            texts.append(text)
        if len(texts) == count:
            break
    return texts


def with_copies(texts: Sequence[str]) -> list[str]:
    """The texts, an exact copy of every fifth and a copy with one word more of every seventh."""
    exact = [text for number, text in enumerate(texts) if number % 5 == 0]
    near = [f"{text}\nchanged" for number, text in enumerate(texts) if number % 7 == 3]
    return [*texts, *exact, *near]


def json_lines(texts: Iterable[str], first: int = 0, **fields: object) -> bytes:
    """The texts as JSON lines with ids ``doc-N``."""
    records = (
        {"id": f"doc-{first + number}", "text": text, **fields} for number, text in enumerate(texts)
    )
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def write_shards(folder: Path, texts: Sequence[str], shards: int) -> Path:
    """The texts as JSON lines in several files, the second one gzipped; returns the glob."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        start, end = len(texts) * shard // shards, len(texts) * (shard + 1) // shards
        data = json_lines(texts[start:end], start)
        if shard == 1:
            (folder / f"part-{shard}.jsonl.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / f"part-{shard}.jsonl").write_bytes(data)
    return folder
