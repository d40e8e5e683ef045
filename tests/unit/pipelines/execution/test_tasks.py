import pyarrow as pa

from strata.pipelines.execution.tasks import rows_of_tasks, run_on_partitions
from tests.support.sequential import Session


def numbers_below(limit):
    for number in range(limit):
        yield pa.RecordBatch.from_pydict({"number": [number]})


def total(batches):
    return sum(sum(batch["number"].to_pylist()) for batch in batches)


def test_rows_of_tasks_are_those_of_every_specification():
    frame = rows_of_tasks(Session(), [3, 0, 2], numbers_below, "number long")

    assert frame.toArrow()["number"].to_pylist() == [0, 1, 2, 0, 1]


def test_run_on_partitions_one_result_each_in_order():
    frame = rows_of_tasks(Session(), [3, 0, 2], numbers_below, "number long")

    assert run_on_partitions(frame, total) == [3, 0, 1]
