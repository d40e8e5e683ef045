import pytest

from strata.errors import BalanceError
from strata.pipelines.execution.stage import Counters, StageReport, Stopwatch
from strata.storage.transfer.metering import FileReads, IoMeter


def test_report_rows_that_are_all_accounted_for_balance():
    report = StageReport("x", "key", rows_in=10, rows_out=4)
    report.rejected = {"invalid_json": 1, "empty_text": 2}
    report.removed = {"exact": 3}
    report.check_balance()
    StageReport("x", "key").check_balance()


@pytest.mark.parametrize(("rows_in", "rows_out"), [(1_000_010, 1_000_003), (10, 11), (0, 1)])
def test_report_lost_or_doubled_row_says_the_figures(rows_in, rows_out):
    report = StageReport("dedup", "key", rows_in=rows_in, rows_out=rows_out, removed={"exact": 2})
    pattern = f"stage dedup: {rows_in:,} rows in, but {rows_out:,} out .* 2 removed"
    with pytest.raises(BalanceError, match=pattern):
        report.check_balance()


def test_counters_add_up_and_the_peak_is_the_largest():
    total = Counters()
    for number in (1, 2, 3):
        total.add(
            Counters(
                IoMeter(bytes_read=number, retries=number, files={"a": FileReads(1, number)}),
                tokens=number,
                task_seconds=0.5,
                peak_worker_mb=10.0 / number,
                peak_task_seconds=number,
            )
        )
    assert total == Counters(
        IoMeter(bytes_read=6, retries=6, files={"a": FileReads(3, 6)}),
        tokens=6,
        task_seconds=1.5,
        peak_worker_mb=10.0,
        peak_task_seconds=3,
    )


def test_stopwatch_only_goes_forward():
    watch = Stopwatch()
    first = watch.seconds
    assert 0 <= first <= watch.seconds


def test_stopwatch_laps_add_up_by_phase():
    watch = Stopwatch()
    for phase in ("read", "write", "read"):
        watch.lap(phase)
    assert list(watch.phases) == ["read", "write"]
    assert min(watch.phases.values()) >= 0
    assert sum(watch.phases.values()) <= watch.seconds
