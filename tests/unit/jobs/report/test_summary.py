"""The summary of a run on terminals of 80 columns."""

import io

import pytest
from rich.console import Console

from strata.jobs.report.summary import show_summary
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import Counters, StageReport
from strata.storage.transfer.metering import IoMeter


def stage(rows, name="decontaminate"):
    io_meter = IoMeter(
        bytes_read=rows * 100,
        bytes_written=rows * 20,
        read_seconds=rows * 100 / 200e6,
        write_seconds=rows * 20 / 50e6,
    )
    counters = Counters(io_meter, tokens=rows * 30)
    return StageReport(
        name,
        "key",
        rows_in=rows,
        rows_out=rows,
        removed={"x": rows},
        seconds=3.2,
        counters=counters,
    )


def shown(rows, width=80):
    told = io.StringIO()
    tables = {"documents": {"rows": rows, "files": 9, "bytes": rows * 90, "tier": "warehouse, cold",
                            "location": "file:///w/c/documents/data"}}  # fmt: skip
    report = RunReport("first", "run", "web", "t", stages=[stage(rows)], tables=tables)
    show_summary(report, Console(file=told, width=width))
    return told.getvalue()


@pytest.mark.parametrize("rows", [0, 7_000, 12_345_678, 2_345_678_901])
def test_summary_fits_80_columns_with_whole_figures(rows):
    text = shown(rows)
    lines = [line for line in text.splitlines() if line.startswith(" decontaminate")]
    assert len(lines) == 1
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_summary_has_all_digits_where_there_is_room():
    assert "12,345,678  12,345,678" in shown(12_345_678, width=120)
    assert "12.3 M" in shown(12_345_678)


def test_summary_says_what_its_rates_are():
    assert "I/O of a task: 200 MB/s in reads, 50.0 MB/s in writes" in shown(7_000)
    assert "MB/s" not in shown(0)
