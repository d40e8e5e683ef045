"""The parts of the way of the data, each on one core, each against the alternative in one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import awkward
import gigatoken
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.corpus import Corpus, decompressed
from strata.pipelines.ingest.task import document_rows
from strata.pipelines.kernels.content_hash import content_hash
from strata.pipelines.kernels.minhash import sketch
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.pipelines.tokenization.engine import Engine, reference_ids
from strata.pipelines.tokenization.formats import without_special_tokens
from strata.pipelines.tokenization.spec import TokenizerSpec, load_spec
from strata.settings import InputSettings, TokenizeSettings
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter

__all__ = ["YARDSTICK", "Figure", "Part", "Sample", "figures", "measure_parts"]

ROUNDS = 5
SAMPLE_BYTES = 24_000_000
REFERENCE_BYTES = 1_500_000
LAYOUT = ParquetLayout("zstd", 3, 64_000_000, 1_000_000_000)
YARDSTICK = "zstd 3 compression, the yardstick"
BAD_LINE = b'{"id": "broken", "text": "no end\n'


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: MB of text a second and core, median of several rounds, and a ratio."""

    name: str
    rate: float
    against: str = ""
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Some files of a corpus, the batches that they are read as, and a folder to write to."""

    files: tuple[Path, ...]
    batches: tuple[pa.RecordBatch, ...]
    folder: Path

    @classmethod
    def of(cls, corpus: Corpus, folder: Path, most_bytes: int = SAMPLE_BYTES) -> Sample:
        """The first files that together have about so many bytes of text."""
        folder.mkdir(parents=True, exist_ok=True)
        files: list[Path] = []
        batches: list[pa.RecordBatch] = []
        for file in sorted(corpus.folder.glob("*.jsonl.zst")):
            files.append(file)
            batches += _read(file)
            if _size(batches) >= most_bytes:
                break
        return cls(tuple(files), tuple(batches), folder)

    @property
    def text(self) -> pa.LargeStringArray:
        """All texts."""
        return pa.concat_arrays([batch.column("text") for batch in self.batches])

    @property
    def text_bytes(self) -> int:
        """Bytes of text."""
        return _size(self.batches)


def measure_parts(corpus: Corpus, tokenizer: Path, folder: Path) -> list[Figure]:
    """All parts on a sample of the corpus."""
    sample = Sample.of(corpus, folder)
    text, size = sample.text, sample.text_bytes
    data = b"".join(each.as_py().encode() for each in text)
    spec = load_spec(
        TokenizeSettings(tokenizer=str(tokenizer)), lambda path: Path(path).read_bytes()
    )
    return figures(
        [
            Part(YARDSTICK, size, lambda: zstandard.ZstdCompressor(level=3).compress(data)),
            *_reading(sample),
            Part("MinHash sketch, 256 places", size, lambda: sketch(text, 5)),
            Part("content hash, 128 bit", size, lambda: content_hash(text)),
            *_writing(sample),
            *_tokenizing(text, size, spec),
        ]
    )


@dataclass(frozen=True, slots=True)
class Part:
    """Work on so many bytes of text; where ``other`` is given, a ratio to it is told as well."""

    name: str
    size: int
    work: Callable[[], object]
    against: str = ""
    other: Callable[[], object] | None = None
    other_size: int = 0


def figures(parts: Iterable[Part], rounds: int = ROUNDS) -> list[Figure]:
    """Do everything once in each round, after a first one, and take medians.

    Seconds are processor time: other processes take wall-clock time away, but hardly that.
    """
    measured = list(parts)
    seconds: dict[str, list[float]] = {part.name: [] for part in measured}
    ratios: dict[str, list[float]] = {part.name: [] for part in measured}
    for _ in range(1 + rounds):
        for part in measured:
            mine = _seconds(part.work)
            seconds[part.name].append(mine)
            if part.other is not None:
                theirs = _seconds(part.other) * part.size / (part.other_size or part.size)
                ratios[part.name].append(theirs / mine)
    return [
        Figure(
            part.name,
            part.size / 1e6 / statistics.median(seconds[part.name][1:]),
            part.against,
            statistics.median(ratios[part.name][1:]) if part.other else None,
        )
        for part in measured
    ]


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def _size(batches: list[pa.RecordBatch] | tuple[pa.RecordBatch, ...]) -> int:
    return sum(int(batch.column("text").nbytes) for batch in batches)


def _read(file: Path) -> Iterator[pa.RecordBatch]:
    store = FsspecStore()
    found = list_inputs(store, [InputSettings(path=str(file))]).files
    files = [each.numbered(number) for number, each in enumerate(found)]
    for split in plan_splits(files, store, 1_000_000_000):
        for batch in read_split(store, split, ReadLimits(256_000_000)):
            yield batch.documents


def _reading(sample: Sample) -> Iterator[Part]:
    size, folder = sample.text_bytes, sample.folder
    lines = b"".join(map(decompressed, sample.files))
    plain, broken = folder / "sample.jsonl", folder / "sample.bad.jsonl"
    plain.write_bytes(lines)
    broken.write_bytes(b"".join(_with_bad_lines(lines)))
    table = pa.Table.from_batches(sample.batches).select(["id", "text", "lang", "url", "metadata"])

    def reading(*files: Path) -> Callable[[], object]:
        return lambda: [batch.num_rows for file in files for batch in _read(file)]

    yield Part("read JSON lines (zstd) to Arrow", size, reading(*sample.files))
    yield Part("read JSON lines, not compressed", size, reading(plain))
    yield Part(
        "read JSON lines, 1 of 100 broken",
        size,
        reading(broken),
        "without broken lines",
        reading(plain),
    )
    for name, codec in ((" (zstd 3) to Arrow", "zstd"), (", not compressed", "none")):
        parquet = folder / f"sample.{codec}.parquet"
        level = 3 if codec == "zstd" else None
        pq.write_table(
            table, parquet, compression=codec, compression_level=level, use_dictionary=False
        )
        alone = partial(_read_alone, parquet)
        yield Part(f"read Parquet{name}", size, reading(parquet), "pyarrow alone", alone)


def _read_alone(file: Path) -> pa.Table:
    return pq.ParquetFile(file).read(use_threads=False)


def _with_bad_lines(lines: bytes) -> Iterator[bytes]:
    for number, line in enumerate(lines.splitlines(keepends=True)):
        if number % 100 == 99:
            yield BAD_LINE
        yield line


def _writing(sample: Sample) -> Iterator[Part]:
    rows = [document_rows(batch) for batch in sample.batches]
    store, folder = FsspecStore(), Url.parse(sample.folder / "tables")

    def ours() -> None:
        with TableWriter(store, folder, "documents", LAYOUT, "bench") as writer:
            for batch in rows:
                writer.write(batch)

    def plain() -> None:
        table = pa.Table.from_batches(rows)
        file = sample.folder / "written.parquet"
        pq.write_table(table, file, compression="zstd", compression_level=3, use_dictionary=False)

    name = "write documents (zstd 3), checksums, atomic"
    yield Part(name, sample.text_bytes, ours, "pyarrow alone", plain)


def _tokenizing(text: pa.LargeStringArray, size: int, spec: TokenizerSpec) -> Iterator[Part]:
    engine = Engine.open(spec)
    model = gigatoken.Tokenizer.from_json(without_special_tokens(spec.data))
    # What gigatoken takes as it is.
    strings = awkward.from_arrow(text)
    few = text.slice(0, max(1, len(text) * REFERENCE_BYTES // size)).to_pylist()
    yield Part(
        f"tokenize ({engine.encoder.name}), warm",
        size,
        lambda: engine.encode(text),
        "encode_batch",
        lambda: model.encode_batch(strings, parallel=False),
    )
    yield Part(
        "the same",
        size,
        lambda: engine.encode(text),
        "tokenizers, one text at a time",
        lambda: [reference_ids(spec, each) for each in few],
        sum(len(each.encode()) for each in few),
    )
