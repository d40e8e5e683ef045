"""Adaptive compression levels against every fixed one, on stores of several speeds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa

from benchmarks.corpus import Corpus
from strata.storage.contracts.store import FileInfo, Output, Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import CLEAN
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout, TableWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LevelFigure", "adaptive_table", "measure_adaptive"]

MB = 1_000_000
LEVELS = (1, 3, 6, 9, 12)
ROUNDS = 3
# From a network that is slower than any codec to one that is faster than all.
SPEEDS = (4, 20, 1000)
# In windows of this length a behind output lets bytes wait for the network.
WINDOW = 4 * MB
BATCH_ROWS = 500
LAYOUT = ParquetLayout("zstd", 3, row_group_bytes=MB, target_file_bytes=MB)


@dataclass(frozen=True, slots=True)
class LevelFigure:
    """Seconds to write the text; the level is None where it adapts, ``levels`` those it took."""

    speed: int
    is_behind: bool
    level: int | None
    seconds: float
    megabytes: float
    levels: tuple[int, ...]


class SlowStore(Store):
    """A store that takes so many bytes a second, at once or behind the writer's back."""

    def __init__(self, rate: float, *, is_behind: bool) -> None:
        self._inner = open_store()
        self._rate = rate
        self._is_behind = is_behind

    def create(self, url: Url) -> Output:
        """An output that is as slow."""
        kind = BehindOutput if self._is_behind else SlowOutput
        return kind(self._inner.create(url), self._rate)

    def open_input(self, url: Url) -> BinaryIO:
        return self._inner.open_input(url)

    def info(self, url: Url) -> FileInfo:
        return self._inner.info(url)

    def find(self, url: Url) -> list[FileInfo]:
        return self._inner.find(url)

    def delete(self, url: Url) -> None:
        self._inner.delete(url)

    def read_ranges(self, url: Url, ranges: Sequence[object]) -> list[bytes]:
        raise NotImplementedError


class SlowOutput(Output):
    """Whoever writes waits for the network."""

    def __init__(self, inner: Output, rate: float) -> None:
        self._inner = inner
        self._rate = rate

    def write(self, data: ReadableBuffer) -> int:
        time.sleep(memoryview(data).nbytes / self._rate)
        return self._inner.write(data)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()

    def discard(self) -> None:
        self._inner.discard()


class BehindOutput(SlowOutput):
    """A thread sends what was written; whoever writes waits once its window is full."""

    def __init__(self, inner: Output, rate: float) -> None:
        super().__init__(inner, rate)
        self._waiting: queue.Queue[int] = queue.Queue(WINDOW // MB)
        self._rest = 0
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def sends_behind(self) -> bool:
        return True

    def _send(self) -> None:
        while size := self._waiting.get():
            time.sleep(size / self._rate)

    def write(self, data: ReadableBuffer) -> int:
        size = self._inner.write(data)
        self._rest += size
        while self._rest >= MB:
            self._waiting.put(MB)
            self._rest -= MB
        return size

    def close(self) -> None:
        if self._rest:
            self._waiting.put(self._rest)
        self._waiting.put(0)
        self._thread.join()
        super().close()


def measure_adaptive(corpus: Corpus, scratch: Path, megabytes: int = 40) -> list[LevelFigure]:
    """Write the same text at each level and adapting, on stores of each speed.

    The levels take turns, and of each the fastest round counts: noise only ever adds.
    """
    batches = _batches(corpus, megabytes * MB)
    found = []
    for speed in SPEEDS:
        for is_behind in (False, True):
            rounds = [
                [
                    _measured(batches, scratch / str(number), speed, level, is_behind=is_behind)
                    for level in (*LEVELS, None)
                ]
                for number in range(ROUNDS)
            ]
            found += [_fastest(same) for same in zip(*rounds, strict=True)]
    return found


def _fastest(rounds: Sequence[LevelFigure]) -> LevelFigure:
    return min(rounds, key=lambda each: each.seconds)


def _batches(corpus: Corpus, most_bytes: int) -> list[pa.RecordBatch]:
    texts = corpus.texts(most_bytes)
    count = len(texts)
    columns = {
        "doc_id": pa.array(np.arange(count)),
        "id": pa.array([f"document-{number}" for number in range(count)]),
        "text": texts,
        "source": pa.array(["bench"] * count),
        "n_bytes": pa.array(np.diff(np.frombuffer(texts.buffers()[1], np.int64)[: count + 1])),
        "content_hash": pa.array([bytes(16)] * count, pa.binary(16)),
    }
    arrays = [columns.get(f.name, pa.nulls(count, f.type)) for f in CLEAN]
    table = pa.Table.from_arrays(arrays, schema=CLEAN)
    batches: list[pa.RecordBatch] = table.to_batches(max_chunksize=BATCH_ROWS)
    return batches


def _measured(
    batches: list[pa.RecordBatch], scratch: Path, speed: int, level: int | None, *, is_behind: bool
) -> LevelFigure:
    adapts = replace(LAYOUT, level_range=(LEVELS[0], LEVELS[-1]))
    layout = adapts if level is None else replace(LAYOUT, level=level)
    store = SlowStore(speed * MB, is_behind=is_behind)
    folder = Url.parse(scratch / f"{speed}-{is_behind}-{level}")
    start = time.monotonic()
    with TableWriter(store, folder, "clean", layout, "bench") as writer:
        for batch in batches:
            writer.write(batch)
        files = writer.close()
    seconds = time.monotonic() - start
    names = [file.url.rpartition("zstd-")[2].partition(".")[0] for file in files]
    size = sum(file.n_bytes for file in files) / MB
    return LevelFigure(speed, is_behind, level, seconds, size, tuple(map(int, names)))


def adaptive_table(figures: Sequence[LevelFigure]) -> list[tuple[str, str, str, str, str, str]]:
    """A row for each store: seconds of the best and worst level, and of adapting."""
    rows = []
    for place in dict.fromkeys((each.speed, each.is_behind) for each in figures):
        same = [each for each in figures if (each.speed, each.is_behind) == place]
        fixed = sorted((e for e in same if e.level is not None), key=lambda each: each.seconds)
        (adaptive,) = [each for each in same if each.level is None]
        speed, is_behind = place
        rows.append(
            (
                f"{speed} MB/s" + (", behind" if is_behind else ""),
                f"{fixed[0].seconds:.1f} (level {fixed[0].level})",
                f"{fixed[-1].seconds:.1f} (level {fixed[-1].level})",
                f"{adaptive.seconds:.1f}",
                f"{adaptive.seconds / fixed[0].seconds:.2f} ×",
                " ".join(map(str, dict.fromkeys(adaptive.levels))),
            )
        )
    return rows
