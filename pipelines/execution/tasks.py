"""Running tasks on Spark: a picklable specification in, a small picklable result out.

Tasks read and write the stores themselves; only the specification and the result (descriptions of
files and counters) cross the JVM, and text never does.
"""

from __future__ import annotations

import pickle
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from strata.errors import StrataError
from strata.pipelines.execution.stage import Counters
from strata.storage.transfer.metering import IoMeter

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["TaskCost", "rows_of_tasks", "run_on_partitions", "run_tasks", "task_stem"]

Spec = TypeVar("Spec")
Result = TypeVar("Result")

# A worker reports its peak memory in KiB on Linux and in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run_tasks(
    spark: SparkSession, function: Callable[[Spec], Result], specs: Sequence[Spec]
) -> list[Result]:
    """Run one task per specification and return their results in order.

    Args:
        spark: the session.
        function: run in a Python worker.
        specs: specifications, one per task; each result must stay small (descriptions, counters).

    Raises:
        StrataError: a task raised it; Spark retries only transient errors.
    """
    if not specs:
        return []

    def each(partition: Iterable[Spec]) -> Iterable[Result | StrataError]:
        return (_attempt(function, spec) for spec in partition)

    rdd = spark.sparkContext.parallelize(list(specs), len(specs))
    results: list[Result] = []
    # One small result per task: this grows with the number of files, never with that of documents.
    for result in rdd.mapPartitions(each).collect():
        if isinstance(result, StrataError):
            raise result
        results.append(result)
    return results


def _attempt(function: Callable[[Spec], Result], spec: Spec) -> Result | StrataError:
    # A retry cannot fix a terminal error, and Spark would lose its type: it travels as a result.
    try:
        return function(spec)
    except StrataError as error:
        if error.retryable:
            raise
        return error


def rows_of_tasks(
    spark: SparkSession,
    specs: Sequence[Spec],
    function: Callable[[Spec], Iterable[pa.RecordBatch]],
    schema: str,
    partitions: int | None = None,
) -> DataFrame:
    """The rows that tasks read or produce, as a DataFrame.

    Args:
        spark: the session.
        specs: specifications of the tasks.
        function: the batches of one specification; run in a Python worker.
        schema: columns of the batches, as Spark spells them.
        partitions: partitions that share the specifications; by default each has one.
    """

    def rows(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from function(specs[number])

    # Spark needs at least one partition, even for no rows.
    count = max(1, len(specs)) if partitions is None else partitions
    return spark.range(0, len(specs), 1, count).mapInArrow(rows, schema)


def run_on_partitions(
    rows: DataFrame, function: Callable[[Iterator[pa.RecordBatch]], Result]
) -> list[Result]:
    """Run a function on the rows of each partition and return its results in order.

    Args:
        rows: the rows.
        function: run in a Python worker; its result must stay small (descriptions, counters).
    """

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"result": [pickle.dumps(function(batches))]})

    # One small row per partition.
    answers = rows.mapInArrow(answer, "result binary").toArrow()["result"].to_pylist()
    return [pickle.loads(each) for each in answers]


def task_stem(stage: str) -> str:
    """A file-name stem that no other attempt of any task of this run has."""
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        return f"{stage}-driver"
    return f"{stage}-{context.partitionId():05d}-{context.taskAttemptId()}"


class TaskCost:
    """Measures one task: wall and CPU seconds, peak memory of its worker, bytes and requests."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    def counters(self, meter: IoMeter) -> Counters:
        """The cost up to now."""
        seconds = time.monotonic() - self._wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        return Counters(
            # A copy: the meter may keep counting.
            io=IoMeter() + meter,
            task_seconds=seconds,
            cpu_seconds=time.process_time() - self._cpu,
            peak_worker_mb=peak / 1e6,
            peak_task_seconds=seconds,
        )
