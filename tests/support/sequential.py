"""The few calls of a Spark session that the stages make, carried out by a loop, without a JVM."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from strata.jobs.runner.progress import QuietProgress
from strata.pipelines.execution.stage import StageContext
from strata.settings import Settings
from strata.storage.tables.catalog import open_corpus

Batches = Iterable[pa.RecordBatch]


def sequential_context(settings: Settings, run_id: str = "run") -> StageContext:
    """The surroundings of a stage whose tasks run one after the other in this process."""
    return StageContext(settings, open_corpus(settings), run_id, Session, QuietProgress())


class Session:
    """Stands for a SparkSession with two cores."""

    def __init__(self) -> None:
        self.sparkContext = Context()

    def range(self, start: int, end: int, step: int, partitions: int) -> Frame:
        """One partition for each number."""
        numbers = range(start, end, step)
        assert partitions == len(numbers)
        return Frame([[pa.RecordBatch.from_pydict({"id": [number]})] for number in numbers])


class Context:
    """Stands for a SparkContext."""

    defaultParallelism = 2  # noqa: N815

    def parallelize(self, specs: list[Any], partitions: int) -> Numbers:
        """The specifications, each in a partition of its own."""
        assert partitions == len(specs)
        return Numbers([pickle.loads(pickle.dumps(spec)) for spec in specs])

    def broadcast(self, value: Any) -> Broadcast:
        """The value as it is."""
        return Broadcast(value)

    def accumulator(self, value: int) -> Accumulator:
        """A sum that starts with the value."""
        return Accumulator(value)


@dataclass
class Broadcast:
    """Stands for a broadcast variable."""

    value: Any


@dataclass
class Accumulator:
    """Stands for an accumulator."""

    value: int

    def add(self, term: int) -> None:
        """Add a term."""
        self.value += term


@dataclass
class Numbers:
    """Stands for an RDD with one element a partition."""

    elements: list[Any]

    def mapPartitions(self, function: Callable[[Iterator[Any]], Iterable[Any]]) -> Numbers:  # noqa: N802
        """The function of each element alone."""
        results = [list(function(iter([element]))) for element in self.elements]
        return Numbers([pickle.loads(pickle.dumps(each)) for some in results for each in some])

    def collect(self) -> list[Any]:
        """All elements."""
        return self.elements


@dataclass
class Frame:
    """Stands for a DataFrame: batches by partition."""

    partitions: list[list[pa.RecordBatch]]

    def mapInArrow(self, function: Callable[[Iterator[Any]], Batches], _: str) -> Frame:  # noqa: N802
        """The function of each partition."""
        return Frame([list(function(iter(batches))) for batches in self.partitions])

    def repartition(self, key: str) -> Frame:
        """Three partitions by key."""
        table = self.toArrow()
        owner = pa.array([hash(value) % 3 for value in table[key].to_pylist()], pa.int64())
        parts = [table.filter(pa.compute.equal(owner, number)) for number in range(3)]
        return Frame([part.to_batches() for part in parts])

    def sortWithinPartitions(self, *keys: str) -> Frame:  # noqa: N802
        """Sorted partitions, in small batches."""
        order = [(key, "ascending") for key in keys]
        tables = [pa.Table.from_batches(batches) for batches in self.partitions if batches]
        return Frame([table.sort_by(order).to_batches(max_chunksize=500) for table in tables])

    def toArrow(self) -> pa.Table:  # noqa: N802
        """All rows."""
        return pa.Table.from_batches([batch for some in self.partitions for batch in some])


class FakeSession(Session):
    """A session that never starts a JVM."""

    seconds, parallelism, started = 0.0, 2, False

    def __init__(self, *_):
        super().__init__()

    def __call__(self):
        return self

    def begin(self):
        pass

    def stop(self):
        pass

    def keep_class_data(self):
        pass
