"""Every example runs: one as a command of its own, the others on one Spark session."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import strata
from strata.jobs.session.spark import LazySession
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts

EXAMPLES = Path(__file__).parents[3] / "examples"
COVERED = {
    *("local_jsonl.toml", "local_jsonl.py", "s3_tiers.toml", "sample_texts.py"),
    *("incremental_week.toml", "incremental_week.py", "README.md"),
    *("decontamination.toml", "decontamination_bench.toml", "decontamination.py"),
    *("read_tables.py", "torch_dataset.py"),
    # In tests/unit/examples, without Airflow.
    "airflow_dag.py",
}


@pytest.fixture(scope="module")
def example():
    """Imports an example as a module, as its own folder sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module


@pytest.fixture(scope="module")
def _spark(s3_options):
    """The session that all of them find running; its workers know the secrets."""
    properties = {
        "spark.ui.enabled": False,
        "spark.ui.showConsoleProgress": False,
        "spark.driver.memory": "1g",
    }
    settings = Settings(corpus="none", inputs=[{"path": "none"}], spark=properties)
    session = LazySession(settings, "local[2]", "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_KEY", s3_options["key"])
        patch.setenv("S3_SECRET", os.environ[s3_options["secret"].removeprefix("env:")])
        session()
        yield
        session.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The folder of the local example, after its script ran as a user runs it."""
    folder = tmp_path_factory.mktemp("local")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "local_jsonl.py", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "20 documents" in done.stdout
    # What reads it afterwards starts where the paths of its settings start.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield EXAMPLES / "local_jsonl.toml"


def test_examples_are_all_tested_and_listed():
    present = {each.name for each in EXAMPLES.iterdir() if each.is_file()}

    assert present == COVERED
    listed = (EXAMPLES / "README.md").read_text()
    assert [name for name in present - {"README.md"} if f"({name})" not in listed] == []


def test_local_jsonl_removes_the_copy(local):
    with strata.open(local) as corpus:
        assert corpus.table("documents").count() == 21
        assert corpus.table("clean").count() == corpus.table("tokens").count() == 20


def test_read_tables_in_every_engine(local, example):
    read_tables = example("read_tables")

    with strata.open(local) as corpus:
        longest = read_tables.longest_with_duckdb(corpus)
        lengths = corpus.table("tokens").scan(["n_tokens"]).read_all()["n_tokens"].to_pylist()

    assert [tokens for _, tokens in longest] == sorted(lengths)[:-4:-1]
    assert read_tables.main(str(local)) == sum(lengths)


def test_torch_sequences_hold_every_token_once(local, example):
    dataset = example("torch_dataset").TokenSequences(str(local), 1)
    with strata.open(local) as corpus:
        lists = corpus.table("tokens").scan(["tokens"]).read_all()["tokens"].to_pylist()

    assert np.concatenate(list(dataset.read())).tolist() == [t for each in lists for t in each]
    parts = [np.concatenate(list(dataset.read(part, 2))).tolist() for part in (0, 1)]
    assert parts == [[t for each in lists[part::2] for t in each] for part in (0, 1)]


def test_torch_sequences_have_one_length(local, example):
    sequences = list(example("torch_dataset").TokenSequences(str(local), 16).read())

    assert {(each.shape, each.dtype.name) for each in sequences} == {((16,), "int64")}


@pytest.mark.usefixtures("_spark")
def test_incremental_week_reads_each_day_once(tmp_path, example):
    week = example("incremental_week").main(tmp_path)

    # The copies of the day before go; the first day has none.
    assert [day.documents for day in week] == [8, 18, 28, 38, 48, 58, 58]
    assert [day.clean for day in week] == [8, 16, 24, 32, 40, 48, 48]
    assert [("shard" in day.stages, "dedup" in day.stages) for day in week] == [
        *[(True, True)] * 6,
        (False, False),
    ]


@pytest.mark.usefixtures("_spark")
def test_decontamination_removes_what_holds_a_question(tmp_path, example):
    found = example("decontamination").main(tmp_path)

    assert found == {"page-3": "question-1", "page-9": "question-4"}


@pytest.mark.usefixtures("_spark")
def test_s3_tiers_put_the_tables_into_the_bucket(tmp_path, s3_options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.jsonl").write_bytes(json_lines(library_texts(6)))
    endpoint = {'storage_options."s3://bucket".endpoint_url': s3_options["endpoint_url"]}

    with strata.open(EXAMPLES / "s3_tiers.toml", overrides=endpoint) as corpus:
        assert corpus.run().status == "done"
        folders = {
            name: {str(file.location).split("/web/")[0] for file in corpus.table(name).files()}
            for name in ("documents", "clean", "tokens")
        }
        assert corpus.table("clean").count() == 6

    assert folders == {
        "documents": {"s3://bucket/cold"},
        "clean": {"s3://bucket/hot"},
        "tokens": {"s3://bucket/hot"},
    }
