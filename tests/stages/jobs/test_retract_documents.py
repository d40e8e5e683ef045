"""The command `strata retract`: its flags, its receipt, its exit codes."""

import json

import pytest

from strata.jobs import cli, retract_documents
from strata.jobs.command.arguments import request_of
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import json_lines
from tests.support.rows import rows_of
from tests.support.sequential import FakeSession, sequential_context

TEXTS = [f"{word} of the same words that are in all of them" for word in ("one", "two", "three")]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The settings file of a corpus of four documents, two of which are equal."""
    monkeypatch.setattr(retract_documents, "LazySession", FakeSession)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(json_lines([*TEXTS, TEXTS[0]], url="https://[a]"))
    path = tmp_path / "corpus.toml"
    path.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path}/wh"\n[[inputs]]\npath = "{tmp_path}/in"\n'
    )
    context = context_of(tmp_path)
    run_shard(context)
    run_dedup(context)
    return path


def context_of(folder):
    inputs = [{"path": str(folder / "in")}]
    return sequential_context(
        Settings(corpus="web", warehouse=str(folder / "wh"), inputs=inputs), "first"
    )


def run(file, *flags):
    return cli.main(["retract", str(file), *flags])


def parsed(file, *flags):
    return request_of(cli._parser().parse_args(["retract", str(file), *flags]))


def test_receipt_is_printed_and_stored(file, tmp_path, capsys):
    assert run(file, "--id", "doc-0", "--reason", "a [request]", "-q", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"] == [{"kind": "id", "value": "doc-0", "documents": 1, "input_files": None}]
    assert told["documents"] == 1
    assert told["reason"] == "a [request]"
    assert told["new_survivors"] == 1
    tables = {table["table"]: table for table in told["tables"]}
    assert tables["documents"]["rows_removed"] == 1
    assert tables["clusters"]["rows_removed"] == 2
    (report,) = (tmp_path / "wh/web/reports").glob(f"{told['run_id']}.*.json")
    stored = json.loads(report.read_text())
    assert stored["stages"][0]["details"]["receipt"]["retraction"] == told["retraction"]
    assert told["report"].endswith(report.name)


def test_receipt_for_people(file, capsys):
    assert run(file, "--url", "https://[a]", "--reason", "a [request]") == 0
    out = capsys.readouterr().out
    assert "url 'https://[a]'  documents: 4" in out
    assert "reason: a [request]" in out
    assert "documents removed: 4, new survivors: 0" in out
    assert "strata storage expire" in out
    assert run(file, "--url", "https://[a]", "--expire-now") == 0
    out = capsys.readouterr().out
    assert "retracted before" in out
    assert "files deleted: " in out


def test_dry_run_changes_nothing(file, tmp_path, capsys):
    assert run(file, "--cluster", "doc-3", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["documents"], told["new_survivors"], told["dry_run"]) == (2, 0, True)
    assert run(file, "--cluster", "doc-3", "--dry-run") == 0
    assert "documents that would go: 2" in capsys.readouterr().out
    assert len(rows_of(context_of(tmp_path), "documents")) == 4


def test_values_from_files(file, tmp_path):
    ids = tmp_path / "ids"
    ids.write_bytes(b"\xef\xbb\xbfdoc-0\r\ndoc 1\n\n")
    urls = tmp_path / "url=s"
    urls.write_text("https://a\n")
    asked = parsed(file, "--from-file", str(ids), "--from-file", f"url={urls}", "--doc-id", "7")
    found = [(str(ask.kind), ask.value) for ask in asked.selectors]
    assert found == [("doc_id", "7"), ("id", "doc 1"), ("id", "doc-0"), ("url", "https://a")]
    assert (asked.missing, asked.expiry) == (MissingPolicy.REFUSE, ExpiryPolicy.BY_POLICY)
    eager = parsed(file, "--source", "in", "--allow-missing", "--expire-now")
    assert (eager.missing, eager.expiry) == (MissingPolicy.ALLOW, ExpiryPolicy.NOW)
    assert parsed(file, "--resume").selectors == ()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 2, "nothing is asked for"),
        (("--resume", "--id", "doc-0"), 2, "takes nothing else out"),
        (("--resume",), 2, "no retraction of corpus web is unfinished"),
        (("--doc-id", "x"), 2, "names nothing"),
        (("--from-file", "/nowhere/ids"), 3, "cannot be read"),
        (("--id", "doc-0", "--id", "doc-9"), 3, "nothing of id 'doc-9'"),
    ],
)
def test_bad_requests_are_told_and_nothing_is_taken_out(file, tmp_path, capsys, flags, code, said):
    assert run(file, *flags) == code
    last = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert said in last["reason"]
    assert len(rows_of(context_of(tmp_path), "documents")) == 4


def test_script_under_spark_submit_takes_the_same_flags(file, capsys):
    code = retract_documents.main(["--conf-file", str(file), "--id", "doc-1", "--json", "-q"])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 1


def test_report_can_be_written_elsewhere_too(file, tmp_path):
    path = tmp_path / "out" / "r.json"
    assert run(file, "--id", "doc-1", "-q", "--report", str(path), "--run-id", "mine") == 0
    assert json.loads(path.read_text())["run_id"] == "mine"
