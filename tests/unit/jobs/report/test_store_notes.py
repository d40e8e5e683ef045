import pytest

from strata.jobs.report.figures import metric_rows
from strata.jobs.report.notes import store_lines
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import Counters, StageReport
from strata.pipelines.execution.tasks import TaskCost
from strata.storage.transfer.metering import FileReads, IoMeter


def report(location, **counters):
    half = {name: number // 2 for name, number in counters.items()}
    stages = [
        StageReport(name, "k", counters=Counters(IoMeter(**half))) for name in ("shard", "dedup")
    ]
    tables = {"documents": {"location": location}}
    return RunReport("r", "run", "web", "done", "t", tables=tables, stages=stages)


def test_stores_of_a_local_run_are_not_worth_a_line():
    assert store_lines(report("file:///w", bytes_read=10, read_requests=4)) == []


def test_stores_of_a_remote_run_tell_requests_for_each_mb():
    counters = {"bytes_read": 10_000_000, "read_requests": 2, "bytes_written": 4_000_000}
    (line,) = store_lines(report("s3://b/w", write_requests=2, **counters))
    assert line == "requests: 0.20 per MB read, 0.50 per MB written"


def test_stores_tell_retries_and_what_the_cache_saved():
    counters = {"retries": 4, "failovers": 2, "cache_hits": 30, "cache_misses": 10}
    lines = store_lines(report("file:///w", cache_bytes=6_000_000, cache_faults=2, **counters))
    assert "4 requests were sent again, 2 times at another endpoint" in lines[0]
    assert "30 of 40 blocks (75%), 6.0 MB" in lines[1]
    assert "2 blocks" in lines[2]


def test_stores_every_count_of_a_meter_comes_into_the_report():
    meter = IoMeter(*range(1, 13), files={"a": FileReads(1, 5)})
    found = TaskCost().counters(meter)
    assert found.io == meter
    assert found.by_name().items() >= meter.counts().items()
    assert list(meter.counts().values()) == list(range(1, 13))


def test_stores_counters_of_a_task_stay_as_they_are_while_its_meter_goes_on():
    meter = IoMeter(files={"a": FileReads(1, 5)})
    found = TaskCost().counters(meter)
    meter += IoMeter(bytes_read=3, files={"a": FileReads(1, 3)})
    assert found.io == IoMeter(files={"a": FileReads(1, 5)})


@pytest.mark.parametrize("name", IoMeter().counts())
def test_stores_every_count_of_a_meter_is_shown_on_the_page(name):
    """A new count needs its line in ``figures.py``, and nothing else but the meter."""

    def rows(number):
        counters = Counters(IoMeter(**{name: number}))
        stage = StageReport("shard", "k", seconds=1.0, counters=counters)
        return metric_rows(RunReport("r", "run", "web", "done", "t", stages=[stage]))

    assert rows(0) != rows(10_000_000)


@pytest.mark.parametrize(("hits", "shown"), [(30, "75"), (0, "–")])
def test_stores_hit_share_stands_in_the_table_of_stages(hits, shown):
    stage = StageReport(
        "shard", "k", counters=Counters(IoMeter(cache_hits=hits, cache_misses=hits // 3))
    )
    made = RunReport("r", "run", "web", "done", "t", stages=[stage])
    cells = {row.label: row.cells[0] for row in metric_rows(made)}
    assert cells.get("cache hits", "–").startswith(shown)
