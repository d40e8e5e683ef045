import pytest

from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.rows import rows_in_file_order, rows_of
from tests.support.sequential import sequential_context

TEXTS = library_texts(6, most_bytes=6000)
LONGER = TEXTS[0] + "\nand some words more"


def context_of(folder, sources, **sections):
    """A corpus with a folder of inputs for each source: its name, and its lines."""
    inputs = []
    for name, data in sources.items():
        home = folder / name
        home.mkdir()
        (home / "a.jsonl").write_bytes(data)
        inputs.append({"path": str(home)})
    given = {"shard": {"max_reject_ratio": 1}, "tokenize": {"tokenizer": str(folder / "t.json")}}
    return sequential_context(
        Settings(corpus="web", warehouse=str(folder / "wh"), inputs=inputs, **given | sections)
    )


@pytest.mark.parametrize("rules", [["first"], ["longest"], ["source:wiki", "first"]])
@pytest.mark.parametrize("data", [b"", b"{broken\n"])
def test_ledger_of_no_documents_is_published_empty(tmp_path, rules, data):
    context = context_of(tmp_path, {"web": data}, dedup={"survivor": rules})
    run_shard(context)
    report = run_dedup(context)
    assert (report.rows_in, report.rows_out, report.removed) == (0, 0, {})
    assert rows_of(context, "clusters") == []
    assert context.corpus.table("clusters").content_key == report.key


def test_stages_of_no_documents_publish_empty_tables(tmp_path):
    from tokenizers import Tokenizer, models

    model = Tokenizer(models.BPE(vocab={"a": 0, "</s>": 1}, merges=[]))
    model.save(str(tmp_path / "t.json"))
    context = context_of(tmp_path, {"web": b"{broken\n"})
    for stage in (run_shard, run_dedup, run_tokenize, run_compress):
        assert stage(context).rows_out == 0
    for table in ("documents", "clean", "tokens"):
        assert context.corpus.table(table).files() == []
        assert context.corpus.table(table).content_key


@pytest.mark.parametrize(
    ("rules", "source"),
    [
        (["first"], "web"),
        (["longest"], "wiki"),
        (["source:code,web"], "code"),
        (["source:books", "longest"], "wiki"),
    ],
)
def test_ledger_survivor_follows_the_rules_over_all_sources(tmp_path, rules, source):
    sources = {
        "web": json_lines(TEXTS),
        "wiki": json_lines([LONGER, TEXTS[5]]),
        "code": json_lines([TEXTS[0]]),
    }
    context = context_of(tmp_path, sources, dedup={"survivor": rules})
    run_shard(context)
    report = run_dedup(context)
    rows = {row["doc_id"]: row for row in rows_in_file_order(context, "clusters")}
    order = {name: ordinal for ordinal, name in enumerate(sources)}
    (kept,) = {row["kept_id"] for row in rows.values() if row["cluster_size"] == 3}
    assert kept == order[source] << 37
    assert sum(report.removed.values()) == 3
    assert report.rows_out == 6
    assert [row["doc_id"] for row in rows.values() if row["kept"]] == sorted(
        {row["kept_id"] for row in rows.values()}
    )
