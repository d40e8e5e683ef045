"""How time and memory follow the size of a corpus, the number of cores, and odd documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from benchmarks.corpus import Corpus
from benchmarks.scale import scaled
from benchmarks.whole_run import Bench, WholeRun

__all__ = ["Measured", "measure_odd_documents", "measure_sizes"]

LARGE_DOCUMENT_BYTES = 50_000_000
TINY_DOCUMENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """A run under a name."""

    name: str
    run: WholeRun

    @property
    def seconds_per_gb(self) -> float:
        """Command to exit without the start of Spark, for a GB (10^9 bytes) of text."""
        return self.run.working_seconds / self.run.text_mb * 1e3


def measure_sizes(bench: Bench, scales: Sequence[int], scratch: Path) -> list[Measured]:
    """The corpus so many times as large."""
    return [
        Measured(f"{scale}×", replace(bench, corpus=scaled(bench.corpus, scale, scratch)).run())
        for scale in scales
    ]


def measure_odd_documents(bench: Bench, scratch: Path) -> list[Measured]:
    """The corpus with one document of 50 MB, and with a million tiny ones."""
    texts = bench.corpus.texts(LARGE_DOCUMENT_BYTES).to_pylist()
    large = [{"id": "large", "text": "\n".join(texts)}]
    tiny = (
        {"id": f"tiny-{number}", "text": f"number {number} of many tiny documents, {number * 7919}"}
        for number in range(TINY_DOCUMENTS)
    )
    named: dict[str, Iterable[dict[str, str]]] = {
        "one document of 50 MB": large,
        "a million tiny documents": tiny,
    }
    return [
        Measured(name, replace(bench, corpus=_beside(bench.corpus, documents, scratch)).run())
        for name, documents in named.items()
    ]


def _beside(corpus: Corpus, documents: Iterable[dict[str, str]], scratch: Path) -> Corpus:
    """The corpus and one more file, in a folder of links."""
    folder = scratch / "odd"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for file in corpus.folder.glob("*.jsonl.zst"):
        (folder / file.name).symlink_to(file.resolve())
    with (
        (folder / "odd.jsonl.zst").open("wb") as raw,
        zstandard.ZstdCompressor(3).stream_writer(raw) as sink,
    ):
        for document in documents:
            sink.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
    return replace(corpus, folder=folder, evaluate=None)
