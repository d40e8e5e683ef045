"""The error bars of dedup in the summary and on the page of a run."""

import msgspec
from rich.console import Console

from strata.jobs.report.notes import audit_lines, error_bars
from strata.jobs.report.page import render_page
from strata.jobs.report.summary import show_summary
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import DedupDetails
from strata.pipelines.execution.stage import StageReport

AUDIT = {
    "confidence": 0.95,
    "threshold": 0.8,
    "near": 0.7,
    "removed_documents": 1_002,
    "kept_documents": 998,
    "compared_pairs": 1_700,
    "precision": {"value": 0.9691, "low": 0.9581, "high": 0.9777},
    "recall": {"value": 1.0, "low": 0.99801, "high": 1.0},
}


def run_of(**details):
    known = msgspec.convert(details, DedupDetails)
    stage = StageReport("dedup", "key", rows_in=10, rows_out=10, details=known)
    return RunReport("run-1", "dedup", "web", "2026-11-24T00:00:00+00:00", stages=[stage])


def test_error_bars_say_what_they_are_shares_of():
    bars = list(error_bars(run_of(audit=AUDIT)))

    assert [(bar.label, bar.value, bar.interval) for bar in bars] == [
        ("precision", "96.91%", "95.81% to 97.77%"),
        ("recall", "100.00%", "99.80% to 100.00%"),
    ]
    assert bars[0].meaning == "of the removed documents have another one at 0.8"


def test_summary_shows_sample_and_intervals():
    console = Console(record=True, width=120)
    show_summary(run_of(audit=AUDIT), console)
    text = console.export_text()

    assert "1,002 removed and 998 kept documents, with 95% intervals" in text
    assert "99.80% to 100.00%" in text


def test_page_has_a_tile_for_each_estimate():
    page = render_page(run_of(audit=AUDIT), [])
    assert "96.91%" in page
    assert "95.81% to 97.77% of the removed documents have another one at 0.8" in page


def test_summary_without_an_audit_says_why_or_nothing():
    assert list(audit_lines(run_of())) == []
    assert list(audit_lines(run_of(audit={"not_made": "the texts are gone"}))) == [
        "audit: not made, the texts are gone"
    ]
    assert list(error_bars(run_of(audit={"not_made": "the texts are gone"}))) == []
