import re
from html import unescape

import pytest

from strata.jobs.report.page import render_page
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import (
    DedupDetails,
    MoveDetails,
    MovedFiles,
    ShardDetails,
)
from strata.pipelines.execution.stage import Counters, StageReport, StageStatus
from strata.storage.transfer.metering import IoMeter

SCRIPT = "<script>alert('x')</script>"


def shard_stage(**changes):
    facts = {
        "key": "shard-key-1",
        "rows_in": 1_234_567,
        "rows_out": 1_234_000,
        "rejected": {"invalid_json": 501, "empty_text": 66},
        "seconds": 10.0,
        "counters": Counters(
            IoMeter(
                bytes_read=250_000_000,
                bytes_written=120_000_000,
                read_requests=500,
                write_requests=360,
                read_seconds=2.0,
                write_seconds=2.0,
            ),
            text_bytes=700_000_000,
            files_written=17,
            task_seconds=18.4,
            cpu_seconds=15.0,
            peak_worker_mb=613.0,
        ),
        "details": ShardDetails(
            mode="overwrite", files_skipped={"hidden": 3}, reject_ratio=0.000459
        ),
    }
    return StageReport("shard", **(facts | changes))


def dedup_stage():
    return StageReport(
        "dedup",
        "dedup-key-2",
        rows_in=1_234_000,
        rows_out=987_200,
        removed={"exact": 200_000, "fuzzy": 46_800},
        seconds=5.0,
        details=DedupDetails(largest_cluster=4321),
    )


def tokenize_stage():
    return StageReport(
        "tokenize",
        "tokenize-key-3",
        rows_in=1_234_000,
        rows_out=987_200,
        removed={"duplicate": 246_800},
        seconds=4.0,
        counters=Counters(tokens=150_000_000),
    )


def skipped(name):
    return StageReport(name, "", StageStatus.SKIPPED)


def table(**changes):
    facts = {"rows": 1_234_000, "bytes": 200_000_000, "files": 9, "tier": "warm"}
    return facts | {"location": "s3://lake/warm/documents/data"} | changes


def report(**changes):
    facts = {
        "run_id": "20260102-030405-6",
        "command": "run",
        "corpus": "web",
        "started": "2026-01-02T04:04:05+01:00",
        "version": "7.8.9",
        "status": "done",
        "seconds": 27.5,
        "session_seconds": 6.25,
        "machine": {"cores": 2, "python": "3.11.7", "system": "Linux-x"},
        "stages": [shard_stage(), dedup_stage(), tokenize_stage(), skipped("compress")],
        "tables": {"documents": table(), "tokens": table(bytes=150_000_000, tier="hot")},
        "location": "file:///lake/web/reports/20260102-030405-6.json",
    }
    return RunReport(**(facts | changes))


def text_of(page):
    """The visible text, its white space single."""
    body = re.sub(r"<style>.*?</style>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def row_of(page, label):
    """Cells of the first row of the table of stages that has this label."""
    match = re.search(rf'<th scope="row">{re.escape(label)}</th>(.*?)</tr>', page)
    return re.findall(r"<td>(.*?)</td>", match[1])


def test_page_of_a_run_shows_its_facts():
    text = text_of(render_page(report(), []))
    expected = (
        "corpus web",
        "run 20260102-030405-6",
        "strata run",
        "2026-01-02 03:04:05 UTC",
        "cores 2",
        "python 3.11.7",
        "Linux-x",
        "strata 7.8.9",
        "27.5 s",
        "/lake/web/reports/20260102-030405-6.json",
        "1,234,567 records became 987,200 survivors and 150.0 M tokens in 27.5 s.",
        "3.50 : 1",
        "8.0 bits each on disk",
    )
    assert [part for part in expected if part not in text] == []


@pytest.mark.parametrize(
    ("label", "cells"),
    [
        ("in", ["1,234,567", "1,234,000", "1,234,000", "–"]),
        ("out", ["1,234,000", "987,200", "987,200", "–"]),
        ("rejected", ["567", "0", "0", "–"]),
        ("invalid json", ["501", "–", "–", "–"]),
        ("empty text", ["66", "–", "–", "–"]),
        ("removed", ["0", "246,800", "246,800", "–"]),
        ("fuzzy", ["–", "46,800", "–", "–"]),
        ("unaccounted for", ["0", "0", "0", "–"]),
        ("files", ["17", "0", "0", "–"]),
        ("MB of text", ["700", "–", "–", "–"]),
        ("MB of text/s", ["70.0", "–", "–", "–"]),
        ("tokens", ["–", "–", "150,000,000", "–"]),
        ("tokens/s", ["–", "–", "37,500,000", "–"]),
        ("seconds", ["10.0", "5.0", "4.0", "–"]),
        ("task seconds", ["18.4", "0", "0", "–"]),
        ("CPU seconds", ["15.0", "0", "0", "–"]),
        ("CPU use", ["75.0%", "0.0%", "0.0%", "–"]),
        ("peak worker MB", ["613", "–", "–", "–"]),
    ],
)
def test_page_stages_have_every_figure(label, cells):
    assert row_of(render_page(report(), []), label) == cells


def test_page_stages_show_bytes_and_requests_of_reading_and_writing():
    page = render_page(report(stages=[shard_stage()]), [])
    reading, writing = (page.split(f">{name}</th>")[1] for name in ("Reading", "Writing"))
    labels = ("MB", "MB/s of stage time", "requests", "requests per MB")
    assert [row_of(reading, label) for label in labels] == [["250"], ["25.0"], ["500"], ["2.0"]]
    assert [row_of(writing, label) for label in labels] == [["120"], ["12.0"], ["360"], ["3.0"]]
    assert row_of(reading, "MB/s of read time") == ["125"]
    assert row_of(writing, "MB/s of write time") == ["60.0"]


def test_page_of_a_local_run_takes_no_call_for_a_request():
    tables = {"documents": table(location="file:///lake/documents/data")}
    page = render_page(report(stages=[shard_stage()], tables=tables), [])
    assert "requests" not in page


def test_page_shows_tables_with_their_places_and_the_sum():
    text = text_of(render_page(report(), []))
    assert "documents 1,234,000 9 200.00 warm s3://lake/warm/documents/data" in text
    assert "all 18 350.00" in text


def test_page_shows_details_and_content_keys():
    text = text_of(render_page(report(), []))
    for part in ("shard-key-1", "files skipped · hidden 3", "largest cluster 4,321", "0.000459"):
        assert part in text


def test_page_escapes_whatever_a_report_holds():
    stage = shard_stage(
        rejected={SCRIPT: 567}, key=SCRIPT, unknown={SCRIPT: {SCRIPT: SCRIPT}, "list": [SCRIPT]}
    )
    stage.stage = f'"{SCRIPT}'
    evil = report(
        run_id=SCRIPT,
        corpus=SCRIPT,
        command=SCRIPT,
        started=SCRIPT,
        version=SCRIPT,
        status=f'"{SCRIPT}',
        machine={SCRIPT: SCRIPT},
        stages=[stage],
        tables={SCRIPT: table(tier=SCRIPT, location=SCRIPT)},
        error={"type": SCRIPT, "reason": SCRIPT, "hint": SCRIPT, SCRIPT: SCRIPT},
        location=SCRIPT,
    )
    page = render_page(evil, [evil])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 20
    assert '""' not in re.sub(r'[a-z-]+=""', "", page)


def test_page_asks_nothing_from_elsewhere():
    page = render_page(report(), [report()])
    assert re.findall(r"<(?:script|img|iframe|object|embed|base)\b", page) == []
    assert set(re.findall(r"""(?:src|href|action)\s*=\s*(\S+)""", page)) == {'"data:,">'}
    assert re.findall(r"url\(|@import|https?://", page) == []
    assert "default-src 'none'" in page


def test_page_of_a_failed_run_shows_the_error_and_what_to_do():
    error = {"type": "TransientError", "reason": "the store is gone", "hint": "try later"}
    failed = report(status="failed", stages=[shard_stage()], tables={}, error=error)
    text = text_of(render_page(failed, []))
    for part in ("Stage dedup failed after 27.5 s.", "TransientError", "the store is gone"):
        assert part in text
    assert "What to do: try later" in text
    assert "Finished before: shard" in text


def test_page_of_a_failed_run_without_any_stage_is_whole():
    error = {"type": "KeyboardInterrupt", "reason": ""}
    failed = report(status="failed", command="dedup", stages=[], tables={}, error=error)
    text = text_of(render_page(failed, [failed]))
    assert "Stage dedup failed" in text
    assert "KeyboardInterrupt no reason was given" in text


def test_page_when_all_was_up_to_date_says_so():
    stages = [skipped(name) for name in ("shard", "dedup", "tokenize", "compress")]
    page = render_page(report(stages=stages, session_seconds=0.0), [])
    assert "Everything was up to date" in page
    assert page.count(">up to date</span>") == 4
    assert 'class="funnel"' not in page


@pytest.mark.parametrize("cores", [None, 0, 2])
def test_page_of_zeros_divides_by_nothing(cores):
    empty = [StageReport(name, "") for name in ("shard", "dedup", "tokenize", "compress")]
    empty[2].counters.tokens = 5
    tables = {"documents": table(rows=0, bytes=0, files=0, location="")}
    zero = report(
        seconds=0.0, session_seconds=0.0, stages=empty, tables=tables, machine={"cores": cores}
    )
    page = render_page(zero, [zero])
    assert row_of(page, "MB/s of stage time") == row_of(page, "CPU use") == ["–"] * 4
    assert not re.search(r"\b(?:nan|inf)\b", page)


def test_page_history_marks_the_shown_run():
    old = report(run_id="older", status="failed", seconds=55.0, tables={}, stages=[])
    shown = report()
    page = render_page(shown, [shown, old])
    rows = re.findall(r'<tr(?: class="shown")?><th scope="row">.*?</tr>', page)
    assert [row for row in rows if "shown" in row] == [row for row in rows if shown.run_id in row]
    text = text_of(page)
    assert "2026-01-02 03:04 run done 27.5 1,234,567 1,234,000 987,200 150.0 M" in text
    assert "failed 55.0 – – – –" in text


def moving_stage():
    pair = MovedFiles("hot", "cold", 2, 5, 5, 1_000, 900, 0.5)
    return StageReport(
        "move", "", rows_in=5, rows_out=5, seconds=1.0, details=MoveDetails(moves=(pair,) * 2)
    )


def test_page_of_a_move_says_what_moved_in_words():
    text = text_of(render_page(report(stages=[moving_stage()]), []))
    assert "4 files moved in " in text
    assert "from hot, to cold, files 2, rows before 5, rows after 5, bytes before 1,000" in text


def test_page_leaves_out_lines_of_stores_that_no_stage_has_figures_for():
    page = render_page(report(), [])
    assert "cache hits" not in page
    assert ">Stores<" not in page
