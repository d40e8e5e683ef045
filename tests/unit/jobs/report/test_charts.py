import pytest

from strata.jobs.report.charts import funnel, run_history, time_bars
from strata.jobs.report.figures import clock, compact, decimal, percent
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import StageReport, StageStatus


def stage(name, rows_in=0, rows_out=0, **changes):
    return StageReport(name, "key", rows_in=rows_in, rows_out=rows_out, **changes)


def report(*stages, **changes):
    facts = {"run_id": "r", "command": "run", "corpus": "c", "started": "", "status": "done"}
    return RunReport(**(facts | {"stages": list(stages)} | changes))


def labels(steps):
    return [(step.label, step.rows) for step in steps]


def test_funnel_of_a_whole_run_goes_from_records_to_survivors():
    shard = stage("shard", 200, 160, rejected={"a": 40})
    steps = funnel(report(shard, stage("dedup", 160, 50, removed={"exact": 10, "fuzzy": 100})))
    assert labels(steps) == [("records", 200), ("documents", 160), ("survivors", 50)]
    assert [step.share for step in steps] == [1.0, 0.8, 0.25]
    assert list(steps[1].losses.items()) == [("fuzzy", 100), ("exact", 10)]


def test_funnel_of_an_appending_run_starts_at_the_documents():
    steps = funnel(report(stage("shard", 10, 10), stage("dedup", 160, 50)))
    assert labels(steps) == [("documents", 160), ("survivors", 50)]


def test_funnel_of_shard_alone_ends_at_the_documents():
    assert labels(funnel(report(stage("shard", 9, 7)))) == [("records", 9), ("documents", 7)]


def test_funnel_of_tokenize_alone_has_survivors():
    steps = funnel(report(stage("tokenize", 9, 7, removed={"duplicate": 2})))
    assert labels(steps) == [("documents", 9), ("survivors", 7)]


def test_funnel_of_a_run_with_items_counts_what_tokenize_took_of_the_survivors():
    dedup = stage("dedup", 160, 50, removed={"exact": 110})
    tokens = stage("tokenize", 160, 46, removed={"duplicate": 110, "contaminated": 4})
    search = stage("decontaminate", 160, 150, removed={"contaminated": 10})
    run = report(search, dedup, tokens)

    steps = funnel(run)

    assert labels(steps) == [("documents", 160), ("survivors", 46)]
    assert steps[0].losses == {"exact": 110, "contaminated": 4}
    assert run_history([run], run)[0].survivors == 46


def test_funnel_without_stages_that_ran_is_empty():
    skipped = stage("shard", status=StageStatus.SKIPPED)
    assert funnel(report()) == funnel(report(skipped)) == funnel(report(stage("compress"))) == ()


def test_funnel_of_no_rows_has_shares_of_zero():
    assert [step.share for step in funnel(report(stage("shard")))] == [0.0, 0.0]


def test_funnel_many_reasons_are_summed_up_without_loss():
    rejected = {f"reason_{n}": n for n in range(1, 12)}
    (first, _) = funnel(report(stage("shard", 100, 34, rejected=rejected)))
    assert len(first.losses) == 7
    assert sum(first.losses.values()) == sum(rejected.values())


def test_time_bars_add_up_to_the_run():
    run = report(stage("shard", seconds=4.0), session_seconds=1.0, seconds=10.0)
    bars = time_bars(run)
    assert [bar.label for bar in bars] == ["Spark's start", "shard", "all else"]
    assert sum(bar.value for bar in bars) == pytest.approx(10.0)
    assert sum(bar.share for bar in bars) == pytest.approx(1.0)


def test_time_bars_stay_within_the_whole_when_clocks_disagree():
    run = report(stage("shard", seconds=4.0), stage("dedup", seconds=-0.5), seconds=3.0)
    assert all(0 <= bar.share <= 1 for bar in time_bars(run))


def test_past_runs_take_rows_from_tables_when_nothing_ran():
    tables = {"documents": {"rows": 5}, "tokens": {"rows": 3}}
    run = report(stage("shard", status=StageStatus.SKIPPED), tables=tables)
    (past,) = run_history([run], run)
    assert (past.records, past.documents, past.survivors, past.tokens) == (None, 5, 3, None)
    assert past.shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (clock(0.04), "0.0 s"),
        (clock(99.96), "1 min 40 s"),
        (clock(3599.6), "1 h 00 min"),
        (clock(7500), "2 h 05 min"),
        (clock(None), "–"),
        (compact(999), "999"),
        (compact(9_999), "9,999"),
        (compact(28_183_095), "28.2 M"),
        (compact(12_345), "12.3 k"),
        (compact(3.1e12), "3.1 T"),
        (decimal(1234.5), "1,234"),
        (decimal(0), "0"),
        (decimal(0.0153), "0.015"),
        (percent(None), "–"),
    ],
)
def test_figures_are_written_for_people(written, expected):
    assert written == expected
