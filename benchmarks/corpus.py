"""The text that benchmarks run on: a corpus beside the checkout, else what the machine has."""

from __future__ import annotations

import json
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import zstandard

from strata.pipelines.tokenization.training import train_bpe

PARTS = 8
TRAIN_BYTES = 8_000_000
VOCABULARY = 32_000


@dataclass(frozen=True)
class Corpus:
    """JSON lines (zstd) in a folder, and the pairs that a deduplication is scored against."""

    name: str
    folder: Path
    evaluate: Path | None

    def texts(self, most_bytes: int) -> pa.LargeStringArray:
        """The first documents, up to about so many bytes."""
        found: list[str] = []
        size = 0
        for file in sorted(self.folder.glob("*.jsonl.zst")):
            for line in decompressed(file).splitlines():
                found.append(json.loads(line)["text"])
                size += len(found[-1])
                if size >= most_bytes:
                    return pa.array(found, pa.large_string())
        return pa.array(found, pa.large_string())


def decompressed(file: Path) -> bytes:
    """The content of a zstd file, of all its frames."""
    reader = zstandard.ZstdDecompressor().stream_reader(file.read_bytes(), read_across_frames=True)
    return reader.read()


def find_corpus(root: Path, scratch: Path) -> Corpus:
    """The corpus of STRATA_BENCH_CORPUS, else the one beside the checkout, else the machine's."""
    beside = root.parent / "shared" / "corpus"
    named = os.environ.get("STRATA_BENCH_CORPUS")
    folder = Path(named) if named else beside / "docs"
    if any(folder.glob("*.jsonl.zst")):
        evaluate = folder.parent / "evaluate.py"
        return Corpus(folder.parent.name, folder, evaluate if evaluate.is_file() else None)
    return Corpus("python", _from_python(scratch / "python"), None)


def find_tokenizer(root: Path, corpus: Corpus, scratch: Path) -> Path:
    """The GPT-2 tokenizer beside the checkout, else one trained on the corpus."""
    beside = root.parent / "shared" / "tokenizers" / "gpt2" / "tokenizer.json"
    if beside.is_file():
        return beside
    trained = scratch / "tokenizer.json"
    trained.write_bytes(train_bpe(corpus.texts(TRAIN_BYTES), VOCABULARY))
    return trained


def _from_python(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    files = sorted({file for root in roots for file in root.rglob("*.py")})
    lines = []
    for file in files:
        text = file.read_text("utf-8", errors="ignore")
        if text and "\0" not in text:
            lines.append(json.dumps({"id": str(file), "text": text}).encode() + b"\n")
    for part in range(PARTS):
        data = zstandard.ZstdCompressor().compress(b"".join(lines[part::PARTS]))
        (folder / f"part-{part}.jsonl.zst").write_bytes(data)
    return folder
