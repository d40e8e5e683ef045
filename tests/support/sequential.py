"""A Spark session without a JVM: the tasks of a stage run one after the other in this process.

``Session`` has the calls that :mod:`strata.pipelines.execution.tasks` makes, and what stages ask
for beside these: the number of cores, broadcast variables, accumulators, and the one shuffle of
the search for edges (``memory_documents = 0``). Specifications and results are pickled, as on
their way to a worker and back.

It is no Spark. Functions are not pickled, so one that no worker could be sent runs here all the
same; nothing is retried; a shuffle has three partitions whatever the settings say. Everything
else that a DataFrame can do is missing: partitions by range, columns, unions, joins. What needs
these is tested on a real session, in ``tests/spark``, and so is a whole pipeline.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from strata.jobs.runner.progress import QuietProgress
from strata.pipelines.execution.stage import StageContext
from strata.settings import Settings
from strata.storage.tables.claim import open_to_write

SHUFFLE_PARTITIONS = 3
# So few rows that a bucket begins in one batch and ends in another.
BATCH_ROWS = 500


def sequential_context(settings: Settings, run_id: str = "run") -> StageContext:
    """The surroundings of a stage whose tasks run one after the other in this process."""
    return StageContext(settings, open_to_write(settings), run_id, Session, QuietProgress())


@dataclass
class Shared:
    """Stands for a broadcast variable, and for an accumulator."""

    value: Any

    def add(self, term: int) -> None:
        """Add a term."""
        self.value += term


class Session:
    """Stands for a SparkSession with two cores, and for its SparkContext."""

    defaultParallelism = 2  # noqa: N815
    broadcast = accumulator = Shared

    @property
    def sparkContext(self) -> Session:  # noqa: N802
        """Itself."""
        return self

    def parallelize(self, specs: list[Any], partitions: int) -> Tasks:
        """The specifications, each in a partition of its own."""
        assert partitions == len(specs)
        return Tasks([_sent(spec) for spec in specs])

    def range(self, start: int, end: int, step: int, partitions: int) -> Frame:
        """The numbers, each in a partition of its own."""
        numbers = range(start, end, step)
        assert partitions == len(numbers)
        return Frame([[pa.RecordBatch.from_pydict({"id": [number]})] for number in numbers])


class FakeSession(Session):
    """Stands for the session of a run, which never starts a JVM."""

    seconds, parallelism, started, waiting = 0.0, 2, False, False

    def __init__(self, *_: Any) -> None:
        pass

    def __call__(self) -> Session:
        """The session."""
        return self

    def begin(self) -> None:
        """Nothing starts in the background."""

    def stop(self) -> None:
        """Nothing is stopped."""

    def keep_class_data(self) -> None:
        """Nothing is kept."""


@dataclass
class Tasks:
    """Stands for an RDD with one element a partition."""

    elements: list[Any]

    def mapPartitions(self, function: Callable[[Iterator[Any]], Iterable[Any]]) -> Tasks:  # noqa: N802
        """The results of the function for each element alone."""
        results = [list(function(iter([element]))) for element in self.elements]
        return Tasks([_sent(result) for some in results for result in some])

    def collect(self) -> list[Any]:
        """All elements."""
        return self.elements


@dataclass
class Frame:
    """Stands for a DataFrame: the batches of each partition."""

    partitions: list[list[pa.RecordBatch]]

    def mapInArrow(  # noqa: N802
        self, function: Callable[[Iterator[pa.RecordBatch]], Iterable[pa.RecordBatch]], _: str
    ) -> Frame:
        """The batches that the function makes of each partition."""
        return Frame([list(function(iter(batches))) for batches in self.partitions])

    def repartition(self, key: str) -> Frame:
        """The rows of each key in one partition."""
        table = self.toArrow()
        owner = pa.array([hash(value) % SHUFFLE_PARTITIONS for value in table[key].to_pylist()])
        parts = [table.filter(pc.equal(owner, number)) for number in range(SHUFFLE_PARTITIONS)]
        return Frame([part.to_batches() for part in parts])

    def sortWithinPartitions(self, *keys: str) -> Frame:  # noqa: N802
        """Partitions in order, in small batches."""
        order = [(key, "ascending") for key in keys]
        tables = [pa.Table.from_batches(batches) for batches in self.partitions if batches]
        return Frame([each.sort_by(order).to_batches(max_chunksize=BATCH_ROWS) for each in tables])

    def toArrow(self) -> pa.Table:  # noqa: N802
        """All rows."""
        return pa.Table.from_batches([batch for some in self.partitions for batch in some])


def _sent(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
