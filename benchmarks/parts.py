"""The parts of the way of the data, each on one core, each against the alternative in one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from benchmarks.corpus import Corpus
from strata.pipelines.kernels.content_hash import content_hash
from strata.pipelines.kernels.minhash import sketch
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import ReadLimits, read_split
from strata.pipelines.readers.split import plan_splits
from strata.pipelines.tokenizer_engine import Engine
from strata.pipelines.tokenizer_reference import reference_ids
from strata.pipelines.tokenizer_spec import spec_from_json
from strata.pipelines.tokenizer_training import train_bpe
from strata.settings import InputSettings, TokenizeSettings
from strata.storage.store import FsspecStore, StorageOptions

ROUNDS = 5
SAMPLE_BYTES = 24_000_000
REFERENCE_BYTES = 1_500_000
TRAIN_BYTES = 4_000_000


@dataclass(frozen=True)
class Figure:
    """One measurement: MB of text a second and core, median of several rounds, and a ratio."""

    name: str
    rate: float
    against: str = ""
    ratio: float | None = None


def measure_parts(corpus: Corpus) -> list[Figure]:
    """All parts on a sample of the corpus."""
    text = corpus.texts(SAMPLE_BYTES)
    size = text.nbytes
    return [
        _reading(corpus),
        Figure("MinHash sketch, 256 places", _rate(lambda: sketch(text, 5), size)),
        Figure("content hash, 128 bit", _rate(lambda: content_hash(text), size)),
        *_tokenizing(text),
    ]


def _rate(work: Callable[[], object], size: int, rounds: int = ROUNDS) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return size / 1e6 / statistics.median(seconds)


def _reading(corpus: Corpus) -> Figure:
    store = FsspecStore(StorageOptions({}))
    section = InputSettings(path=str(corpus.folder / "*.jsonl.zst"))
    found = list_inputs(store, [section]).files[:2]
    files = [file.numbered(number) for number, file in enumerate(found)]
    splits = plan_splits(files, store, 64_000_000)
    limits = ReadLimits(256_000_000)

    def read() -> int:
        return sum(
            batch.documents.column("text").nbytes
            for split in splits
            for batch in read_split(store, split, limits)
        )

    return Figure("read JSON lines (zstd) to Arrow", _rate(read, read()))


def _tokenizing(text: pa.LargeStringArray) -> list[Figure]:
    train = text.slice(0, max(1, len(text) * TRAIN_BYTES // max(text.nbytes, 1)))
    spec = spec_from_json(train_bpe(train, 32_000), TokenizeSettings())
    engine = Engine.open(spec)
    rate = _rate(lambda: engine.encode(text), text.nbytes)
    few = text.slice(0, max(1, len(text) * REFERENCE_BYTES // max(text.nbytes, 1))).to_pylist()
    size = sum(len(each.encode()) for each in few)
    slow = _rate(lambda: [reference_ids(spec, each) for each in few], size, rounds=3)
    name = f"tokenize ({engine.encoder.name}), trained BPE 32k"
    return [Figure(name, rate, "tokenizers, one text at a time", rate / slow)]
