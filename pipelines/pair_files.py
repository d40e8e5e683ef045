"""Pairs of 64-bit numbers in files of a run's staging folder, between one Spark job and the next.

A local checkpoint is lost with an executor, and a reliable one needs a filesystem of Hadoop. These
files lie on the store of the warehouse, tell how many rows they have, and go when they are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pyarrow as pa

from strata.pipelines.stage import StageContext
from strata.pipelines.staged_file import StagedFile
from strata.pipelines.tasks import task_stem
from strata.storage.maintenance import STAGING
from strata.storage.scan import read_batches
from strata.storage.store import Store
from strata.storage.url import Url

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Change", "PairBatch", "PairFiles", "PairFolder"]

SCHEMA = pa.schema([("x", pa.int64()), ("y", pa.int64())])
BATCH_BYTES = 4_000_000
# A task that reads fewer pairs costs more to start than to run.
TASK_PAIRS = 1_000_000


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Some pairs: int64[n] and int64[n]."""

    x: np.ndarray
    y: np.ndarray


Change = Callable[[Iterator[PairBatch]], Iterator[PairBatch]]
"""What a worker makes of pairs on their way from or to a file."""


def _unchanged(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
    return parts


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Files with so many pairs."""

    urls: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class PairFolder:
    """A folder for files of pairs, and the session whose workers read and write them.

    Attributes:
        spark: the session.
        store: where the folder is.
        folder: the folder.
        task_pairs: so many pairs, or more, are read by one task.
    """

    spark: SparkSession
    store: Store
    folder: Url
    task_pairs: int = TASK_PAIRS

    @classmethod
    def of(cls, context: StageContext, name: str) -> PairFolder:
        """A folder of this name for the run."""
        staging = Url.parse(context.settings.warehouse) / STAGING / context.run_id
        return cls(context.spark(), context.store, staging / name)

    def write(self, pairs: DataFrame, change: Change = _unchanged) -> PairFiles:
        """Write the two columns of a DataFrame, changed; each partition becomes a file."""
        store, folder = self.store, self.folder

        def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            url = folder / f"{task_stem('pairs')}.parquet"
            rows = _write(store, url, change(_pairs(batches)))
            yield pa.RecordBatch.from_pydict({"file": [pickle.dumps((str(url), rows))]})

        # One small row a partition.
        answers = pairs.mapInArrow(write, "file binary").toArrow()["file"].to_pylist()
        files = [(url, rows) for url, rows in map(pickle.loads, answers) if rows]
        return PairFiles(tuple(url for url, _ in files), sum(rows for _, rows in files))

    def read(
        self, files: PairFiles, names: tuple[str, str], change: Change = _unchanged
    ) -> DataFrame:
        """The pairs, changed, as two long columns."""
        store, urls = self.store, files.urls

        def read(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in numbers:
                for number in batch.column(0).to_pylist():
                    for pairs in change(_load(store, urls[number])):
                        columns = [pa.array(pairs.x), pa.array(pairs.y)]
                        yield pa.RecordBatch.from_arrays(columns, list(names))

        tasks = max(1, min(len(urls), files.rows // self.task_pairs))
        numbers = self.spark.range(0, len(urls), 1, tasks)
        return numbers.mapInArrow(read, ", ".join(f"{name} long" for name in names))

    def load(self, files: PairFiles) -> PairBatch:
        """All pairs, on the driver."""
        found = [PairBatch(np.empty(0, np.int64), np.empty(0, np.int64))]
        found += [pairs for url in files.urls for pairs in _load(self.store, url)]
        return PairBatch(np.concatenate([p.x for p in found]), np.concatenate([p.y for p in found]))

    def save(self, pairs: PairBatch) -> PairFiles:
        """Write pairs from the driver, in files small enough to be read in parallel."""
        urls = []
        for start in range(0, len(pairs.x), TASK_PAIRS):
            some = slice(start, start + TASK_PAIRS)
            urls.append(self.folder / f"pairs-driver-{uuid4().hex}.parquet")
            _write(self.store, urls[-1], iter([PairBatch(pairs.x[some], pairs.y[some])]))
        return PairFiles(tuple(map(str, urls)), len(pairs.x))

    def delete(self, files: PairFiles) -> None:
        """Remove files that nobody reads any more."""
        for url in files.urls:
            self.store.delete(Url.parse(url))

    def clear(self) -> None:
        """Remove all files, those of failed attempts too."""
        for file in self.store.find(self.folder):
            self.store.delete(file.url)


def _pairs(batches: Iterator[pa.RecordBatch]) -> Iterator[PairBatch]:
    for batch in batches:
        if batch.num_rows:
            yield PairBatch(batch.column(0).to_numpy(), batch.column(1).to_numpy())


def _load(store: Store, url: str) -> Iterator[PairBatch]:
    return _pairs(read_batches(store, Url.parse(url), SCHEMA.names, None, BATCH_BYTES))


def _write(store: Store, url: Url, parts: Iterator[PairBatch]) -> int:
    """Write a file, unless there is nothing to write; how many pairs."""
    with StagedFile(store, url, SCHEMA) as file:
        for pairs in parts:
            file.write(pa.table([pa.array(pairs.x), pa.array(pairs.y)], schema=SCHEMA))
    return file.rows
