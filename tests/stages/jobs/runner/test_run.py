"""What is left of a run besides its tables, in every outcome: report, outputs, staged files."""

import json

import pytest

from strata.jobs.cli import main
from strata.jobs.runner import launch
from strata.jobs.runner.holding import holding
from strata.jobs.runner.options import RunOptions
from strata.layers import load_settings
from strata.pipelines.execution.stage import reports_folder
from strata.storage.stores.fsspec_store import FsspecStore
from tests.support.sequential import FakeSession

STORE = FsspecStore()


@pytest.fixture(autouse=True)
def _no_jvm(monkeypatch):
    monkeypatch.setattr(launch, "LazySession", FakeSession)


@pytest.fixture
def file(tmp_path):
    lines = [json.dumps({"text": f"document {n} " * 20, "id": str(n)}) for n in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    target = tmp_path / "web.toml"
    target.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path}/wh"\n[[inputs]]\npath = "{tmp_path}/in.jsonl"\n'
    )
    return target


@pytest.fixture
def settings(file):
    return load_settings(file, []).settings


@pytest.fixture
def command(file, tmp_path, capsys):
    """Run stages under one run id; gives code, report file, stdout and last line of stderr."""

    def command(*arguments, stage="shard"):
        target = tmp_path / "out" / "report.json"
        given = [stage, str(file), "--run-id", "nightly", "--report", str(target), "--json", "-q"]
        code = main([*given, *arguments])
        out, err = capsys.readouterr()
        assert json.loads(out) == json.loads(target.read_bytes())
        return code, json.loads(out), json.loads(err.splitlines()[-1])

    return command


def stored(settings):
    urls = [file.url for file in STORE.find(reports_folder(settings))]
    return {url.name: json.loads(STORE.read_bytes(url)) for url in urls}


def staged(settings):
    return [file.url for file in STORE.find(reports_folder(settings).parent.parent / "_staging")]


def test_run_again_with_the_same_id_keeps_the_report_of_the_first_attempt(command, settings):
    _, first, _ = command()
    before = stored(settings)
    code, second, line = command()

    assert (code, line["code"], line["run_id"]) == (0, 0, "nightly")
    assert second["stages"][0]["status"] == "skipped"
    reports = stored(settings)
    assert len(reports) == 2
    assert before.items() <= reports.items()
    assert set(reports) == {f"nightly.{each['attempt']}.json" for each in (first, second)}
    assert staged(settings) == []


def test_run_that_fails_writes_report_and_outputs(command, settings):
    code, report, line = command(stage="tokenize")

    assert code == line["code"] != 0
    assert report["status"] == "failed"
    assert report["error"]["reason"] == line["reason"]
    assert list(stored(settings).values()) == [report]


def test_run_with_wrong_settings_writes_outputs(command):
    code, report, line = command("--set", "dedup.threshold=7")

    assert code == line["code"] == 2
    assert (report["status"], report["error"]["type"]) == ("failed", "SettingsError")


def test_run_that_is_interrupted_writes_report_and_outputs(command, settings, monkeypatch):
    def stages(_):
        def stage(context):
            context.store.write_bytes(context.staging / "x", b"1")
            raise KeyboardInterrupt

        return [stage]

    monkeypatch.setattr(launch, "stages_of", stages)
    code, report, line = command()

    assert code == line["code"] == 130
    assert report["status"] == "failed"
    assert list(stored(settings).values()) == [report]
    assert staged(settings) == []


def test_run_on_a_corpus_that_another_one_holds_is_told_before_it_works(command, settings):
    with holding(STORE, settings, RunOptions("run", "nightly")):
        code, report, line = command()

    assert code == line["code"] == 4
    assert "is at work on the corpus web" in line["reason"]
    assert report["error"]["reason"] == line["reason"]
    # It is not the newest run of the corpus.
    assert stored(settings) == {}
    assert command()[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [["plan"], ["shard", "--dry-run"], ["report"], ["config"], ["storage", "snapshots"]],
)
def test_commands_that_read_are_not_held_up(command, settings, file, arguments):
    command()
    name, *flags = arguments
    with holding(STORE, settings, RunOptions("run", "nightly")):
        given = [name, *flags, str(file)] if name == "storage" else [name, str(file), *flags]
        assert main(given) == 0


def test_run_id_that_cannot_name_a_file_is_refused(file, capsys):
    assert main(["shard", str(file), "--run-id", "../x"]) == 2
    assert "'../x'" in json.loads(capsys.readouterr().err.splitlines()[-1])["reason"]
