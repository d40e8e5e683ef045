"""What the stages and commands read is in the access log, and survives a rewrite."""

import json

import pytest

from strata.jobs.cli import main
from strata.jobs.runner import run as run_module
from strata.jobs.runner.options import RunOptions
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses
from strata.storage.tables.catalog import open_corpus
from tests.support.sequential import FakeSession


@pytest.fixture
def settings(tmp_path):
    lines = [json.dumps({"text": f"document {n} " * 20, "id": str(n)}) for n in range(50)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    return Settings(
        corpus="web",
        warehouse=str(tmp_path / "warehouse"),
        inputs=({"path": str(tmp_path / "in.jsonl")},),
        tiers={"cold": {"url": str(tmp_path / "cold"), "level": 9}},
    )


def run(settings, *stages):
    options = RunOptions("run", "run", None, -1)
    return run_module.run_stages(settings, stages, options, FakeSession())


def reads(settings, table):
    with open_corpus(settings) as corpus:
        (file,) = corpus.table(table).files()
        folder = accesses_folder(corpus.warehouse, "web")
        history = read_accesses(corpus.store, folder)
    return history.of(file.location.name)


def test_accesses_of_a_run_are_noted_and_not_in_its_report(settings):
    report = run(settings, run_shard, run_dedup)
    assert sum(reads(settings, "fingerprints").reads.values()) >= 1
    assert reads(settings, "fingerprints").n_bytes > 0
    with open_corpus(settings) as corpus:
        (file,) = corpus.table("fingerprints").files()
    assert file.location.name.encode() not in report.to_json()


def test_accesses_survive_a_rewrite_which_is_none_itself(settings):
    run(settings, run_shard, run_dedup)
    before = reads(settings, "fingerprints")
    moved = settings.model_copy(update={"tables": {"fingerprints": "cold"}})
    run(moved, run_compress)
    assert reads(moved, "fingerprints") == before


def test_accesses_of_export_and_explain_are_noted(settings, tmp_path):
    run(settings, run_shard, run_dedup)
    file = tmp_path / "web.toml"
    file.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n[[inputs]]\npath = "nothing"\n'
    )

    def total():
        return sum(reads(settings, "documents").reads.values())

    before = total()
    assert main(["export", "documents", str(file), "--to", str(tmp_path / "out")]) == 0
    after = total()
    assert after == before + 1
    assert main(["explain", "7", str(file)]) == 0
    assert total() > after
