import json

import pytest

from strata.errors import InputError, InputMissingError
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.run import RunReport
from strata.jobs.show_report import HISTORY, show_report
from strata.pipelines.execution.stage import StageReport, reports_folder
from strata.storage.stores.fsspec_store import FsspecStore


@pytest.fixture
def write(settings):
    """Store reports as a run does."""

    def write(run_id, started="2026-01-01T00:00:00+00:00", **changes):
        facts = {"command": "run", "corpus": settings.corpus, "status": "done"}
        report = RunReport(run_id=run_id, started=started, **(facts | changes))
        url = reports_folder(settings) / f"{run_id}.json"
        FsspecStore().write_bytes(url, report.to_json())
        return url

    return write


def shown(settings, capsys, run_id=None):
    show_report(settings, run_id, html=None, output=OutputForm.JSON)
    return json.loads(capsys.readouterr().out)


def test_report_without_any_run_names_folder_and_remedy(settings):
    with pytest.raises(InputMissingError) as caught:
        show_report(settings, None, html=None, output=OutputForm.TEXT)
    assert str(reports_folder(settings)) in caught.value.reason
    assert "strata run" in caught.value.hint


def test_report_by_default_is_of_the_newest_run(settings, write, capsys):
    write("20260103-000000-1", "2026-01-03T00:00:00+00:00")
    write("20260104-000000-1", "2026-01-04T00:00:00+00:00")
    write("nightly", "2026-01-02T00:00:00+00:00")
    assert shown(settings, capsys)["run_id"] == "20260104-000000-1"


def test_report_of_a_named_run_can_be_the_newest(settings, write, capsys):
    write("20260104-000000-1", "2026-01-04T00:00:00+00:00")
    write("a-run", "2026-01-05T00:00:00+00:00")
    assert shown(settings, capsys)["run_id"] == "a-run"


def test_report_by_run_id_finds_an_old_run(settings, write, capsys):
    for day in range(1, 5 + HISTORY):
        write(f"202601{day:02}-000000-1", f"2026-01-{day:02}T00:00:00+00:00")
    assert shown(settings, capsys, "20260101-000000-1")["started"].startswith("2026-01-01")


@pytest.mark.parametrize("run_id", ["nope", "../../secret", ""])
def test_report_of_an_unknown_run_names_the_newest(settings, write, run_id):
    write("20260104-000000-1")
    with pytest.raises(InputMissingError) as caught:
        show_report(settings, run_id, html=None, output=OutputForm.TEXT)
    assert "20260104-000000-1" in caught.value.hint


def test_report_as_json_is_the_stored_report(settings, write, capsys):
    url = write("one", stages=[StageReport("shard", "k", rows_in=3, rows_out=3)])
    assert shown(settings, capsys) == json.loads(FsspecStore().read_bytes(url))


def test_report_on_the_terminal_shows_stages(settings, write, capsys):
    write("one", stages=[StageReport("shard", "k", rows_in=1234, rows_out=1234)])
    show_report(settings, None, html=None, output=OutputForm.TEXT)
    printed = capsys.readouterr().out
    assert "shard" in printed
    assert "1,234" in printed


def test_report_of_a_failed_run_prints_reason_and_hint_as_they_are(settings, write, capsys):
    error = {"type": "SettingsError", "reason": "no [tiers.hot] [/red]", "hint": "add [bold]"}
    write("one", status="failed", error=error)
    show_report(settings, None, html=None, output=OutputForm.TEXT)
    printed = capsys.readouterr().out
    assert "failed: no [tiers.hot] [/red]" in printed
    assert "hint: add [bold]" in printed


def test_report_as_html_writes_a_page_with_the_history(settings, write, capsys, tmp_path):
    for day in range(1, 5 + HISTORY):
        write(f"202601{day:02}-000000-1", f"2026-01-{day:02}T00:00:00+00:00")
    page = tmp_path / "new folder" / "report.html"
    show_report(settings, None, html=str(page), output=OutputForm.TEXT)
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>")
    assert content.count("-000000-1</th>") == HISTORY
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"run_id": 3}', b"\xff\xfe", b'{"run_id": "x"}']
)
def test_report_that_is_damaged_is_an_error_with_its_place(settings, write, damage):
    url = write("one")
    FsspecStore().write_bytes(url, damage)
    with pytest.raises(InputError, match=r"one\.json"):
        show_report(settings, None, html=None, output=OutputForm.TEXT)


def test_report_of_a_newer_version_is_refused(settings, write):
    write("one", report_version=99)
    with pytest.raises(InputError, match="version 99"):
        show_report(settings, None, html=None, output=OutputForm.TEXT)


def test_report_of_a_remote_warehouse_is_read_through_its_store(write, settings, capsys):
    remote = settings.model_copy(update={"warehouse": "memory://report-test"})
    report = RunReport(run_id="far", command="run", corpus="web", started="2026", status="done")
    FsspecStore().write_bytes(reports_folder(remote) / "far.json", report.to_json())
    assert shown(remote, capsys)["run_id"] == "far"
