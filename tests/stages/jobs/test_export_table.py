"""`strata export`: survivors with all fields, clusters by the user's ids, in both formats."""

import json

import pyarrow.parquet as pq
import pytest

from strata.jobs.export_table import export_table
from strata.jobs.runner.options import OutputForm
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.sequential import sequential_context


@pytest.fixture
def texts():
    first, second, *_ = library_texts(3)
    return [first, second, first]


@pytest.fixture
def corpus(tmp_path, texts):
    (tmp_path / "in.jsonl").write_bytes(
        json_lines(texts, lang="en", license="psf", date="2023-05-01") + b'{"text": 5}\n'
    )
    settings = Settings(
        corpus="web",
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(tmp_path / "in.jsonl"), "source": "python"}],
        shard={"max_reject_ratio": 0.5},
    )
    return sequential_context(settings)


def exported(context, tmp_path, table):
    export_table(context.settings, table, "jsonl", str(tmp_path / "out"))
    lines = (tmp_path / "out" / f"{table}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_export_documents_before_dedup_every_document(corpus, tmp_path, texts):
    run_shard(corpus)

    assert [row["text"] for row in exported(corpus, tmp_path, "documents")] == texts


def test_export_documents_after_dedup_survivors_with_all_fields(corpus, tmp_path, texts):
    run_shard(corpus)
    run_dedup(corpus)

    rows = exported(corpus, tmp_path, "documents")

    assert [(row["id"], row["text"]) for row in rows] == [("doc-0", texts[0]), ("doc-1", texts[1])]
    assert {row["lang"] for row in rows} == {"en"}
    assert {row["source"] for row in rows} == {"python"}
    assert rows[0]["metadata"] == {"date": "2023-05-01", "license": "psf"}
    assert {row["created"] for row in rows} == {"2023-05-01T00:00:00Z"}


def test_export_clusters_named_by_the_users_ids(corpus, tmp_path):
    run_shard(corpus)
    run_dedup(corpus)

    rows = exported(corpus, tmp_path, "clusters")

    assert [(row["id"], row["kept"], row["kept_id"]) for row in rows] == [
        ("doc-0", True, "doc-0"),
        ("doc-2", False, "doc-0"),
    ]
    assert {(row["cluster_size"], row["method"], row["similarity"]) for row in rows} == {
        (2, "exact", 1.0)
    }


def test_export_rejects_place_and_reason(corpus, tmp_path):
    run_shard(corpus)

    (row,) = exported(corpus, tmp_path, "rejects")

    assert row["reason"] == "text_not_string"
    assert row["uri"].endswith("in.jsonl")
    assert row["excerpt"] == '{"text": 5}'


@pytest.mark.parametrize("table", ["documents", "clusters", "rejects", "tokens"])
def test_export_empty_corpus_writes_a_file_with_the_columns(corpus, tmp_path, table, capsys):
    export_table(corpus.settings, table, "parquet", str(tmp_path / "out"), output=OutputForm.JSON)

    assert json.loads(capsys.readouterr().out)["rows"] == 0
    assert "doc_id" in pq.read_schema(tmp_path / "out" / f"{table}.parquet").names or (
        table == "rejects"
    )
