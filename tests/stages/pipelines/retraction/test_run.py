"""Retracting documents: the tables afterwards are those of a corpus that never had them."""

import pytest

from strata.errors import ConflictError, InputMissingError, SettingsError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.retraction.request import MissingPolicy, parse_list
from strata.pipelines.retraction.run import preview_retraction, run_retract
from strata.pipelines.tables.retractions import Selector, SelectorKind
from tests.support.corpora.complete import contents, survivors
from tests.support.corpora.retracted import (
    TABLES,
    assert_same,
    by_ids,
    families,
    first_survivor,
    request,
)
from tests.support.rows import rows_of

SOME = [f"f{family}-{family % 3}" for family in range(3, 14) if family % 5 > 2]
GONE = {
    "one without a duplicate": ({}, ["f0-0"]),
    "a whole family": ({"survivor": ["longest", "first"]}, [f"f4-{n}" for n in range(5)]),
    "some of each family": ({"survivor": ["source:c,b", "first"]}, SOME),
    "some, with direct links": ({"link": "direct", "threshold": 0.7}, SOME),
    "the first of each file": (
        {},
        [record["id"] for part in families().values() for record in part[:5]],
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_retract_ids_tables_are_those_of_a_corpus_without_them(project, name):
    dedup, gone = GONE[name]
    context = project.built(dedup=dedup)

    report = run_retract(context, by_ids(*gone))

    assert report.removed == {"retracted": len(gone)}
    assert report.rows_in - report.rows_out == len(gone)
    assert_same(context, project.scratch(gone, dedup=dedup))
    assert survivors(context).isdisjoint(gone)


def test_retract_ledger_by_spark_and_shuffled_too(project):
    dedup = {"memory_documents": 0}
    context = project.built(dedup=dedup)
    gone = [record["id"] for part in project.files.values() for record in part[:3]]
    run_retract(context, by_ids(*gone))
    assert_same(context, project.scratch(gone, dedup=dedup))


def test_retract_one_snapshot_a_table_and_a_receipt_that_adds_up(project):
    context = project.built()
    before = {name: context.corpus.table(name).snapshots() for name in TABLES}
    rows = {name: len(rows_of(context, name)) for name in TABLES if name != "inputs"}
    gone = ["f4-0", "f4-1", "f9-3"]

    receipt = run_retract(context, by_ids(*gone, reason="asked for")).details.receipt

    assert [table.table for table in receipt.tables] == list(TABLES)
    for table in receipt.tables:
        name = table.table
        after = context.corpus.table(name).snapshots()
        assert len(after) == len(before[name]) + 1
        assert table.snapshot_before == str(before[name][-1].snapshot_id)
        assert table.snapshot_after == str(after[-1].snapshot_id)
        if name != "inputs":
            expected = rows[name] - table.rows_removed + table.rows_added
            assert len(rows_of(context, name)) == expected
    assert receipt.documents == 3
    assert receipt.reason == "asked for"
    assert [(each.value, each.documents) for each in receipt.asked] == [(name, 1) for name in gone]
    assert receipt.stale == []
    assert set(receipt.held.snapshots) >= {"documents", "fingerprints"}


def test_retract_survivor_its_successor_is_encoded(project):
    context = project.built()
    kept = next(row["kept_id"] for row in rows_of(context, "clusters"))
    family = {r["doc_id"] for r in rows_of(context, "clusters") if r["kept_id"] == kept}
    receipt = run_retract(context, request(("doc_id", str(kept)))).details.receipt
    successor = min(family - {kept})
    assert receipt.new_survivors == 1
    assert receipt.first_new_survivors == [successor]
    (tokens,) = [row for row in rows_of(context, "tokens") if row["doc_id"] == successor]
    assert tokens["n_tokens"] == len(tokens["tokens"]) > 50
    for table in ("documents", "clean", "tokens", "clusters", "fingerprints"):
        ids = [row["doc_id"] for row in rows_of(context, table)]
        assert kept not in ids
        assert ids == sorted(set(ids))


def test_retract_url_source_and_cluster(project):
    context = project.built()
    numbers = {row["id"]: row["doc_id"] for row in rows_of(context, "documents")}
    cluster = next(r["kept_id"] for r in rows_of(context, "clusters") if r["cluster_size"] == 3)
    members = {r["doc_id"] for r in rows_of(context, "clusters") if r["kept_id"] == cluster}
    of_url = {numbers[f"f8-{n}"] for n in range(4)}
    of_source = {numbers[record["id"]] for record in project.files["b/part.jsonl"]}
    selectors = [("url", "https://example.org/8"), ("source", "b"), ("cluster", str(min(members)))]

    run_retract(context, request(*selectors))

    left = {row["doc_id"] for row in rows_of(context, "documents")}
    gone = members | of_url | of_source
    assert left == set(numbers.values()) - gone
    names = {name for name, number in numbers.items() if number in gone}
    assert_same(context, project.scratch(names))


def test_retract_cluster_by_the_users_id_of_any_member(project):
    context = project.built()
    names = {row["doc_id"]: row["id"] for row in rows_of(context, "documents")}
    ledger = rows_of(context, "clusters")
    removed = next(row for row in ledger if not row["kept"])
    members = {names[r["doc_id"]] for r in ledger if r["kept_id"] == removed["kept_id"]}
    run_retract(context, request(("cluster", names[removed["doc_id"]]), ("cluster", "f0-0")))
    left = {row["id"] for row in rows_of(context, "documents")}
    assert left == set(names.values()) - members - {"f0-0"}
    assert len(members) > 1


def test_retract_only_touched_files_are_rewritten(project):
    small = {"target_file_mb": 0.0001, "split_mb": 0.003}
    context = project.built(shard=small)
    before = {
        name: {file.url: file for file in context.corpus.table(name).files()} for name in TABLES
    }
    (gone,) = [row for row in rows_of(context, "documents") if row["id"] == "f0-0"]
    assert len(before["documents"]) >= 3

    receipt = run_retract(context, by_ids("f0-0")).details.receipt

    for table in receipt.tables:
        old = before[table.table]
        lost = old.keys() - {file.url for file in context.corpus.table(table.table).files()}
        holders = {u for u, f in old.items() if f.min_doc_id <= gone["doc_id"] <= f.max_doc_id}
        assert len(lost) == table.files_replaced == min(table.rows_removed, 1)
        assert lost <= holders


def test_retract_again_is_skipped_and_later_ones_follow(project):
    context = project.built()
    run_retract(context, by_ids("f4-0"))
    snapshots = len(context.corpus.table("documents").snapshots())
    assert run_retract(context, by_ids("f4-0")).status is StageStatus.SKIPPED
    assert len(context.corpus.table("documents").snapshots()) == snapshots
    report = run_retract(context, by_ids("f4-0", "f4-1"))
    assert report.removed == {"retracted": 1}
    assert_same(context, project.scratch(["f4-0", "f4-1"]))


def test_retract_missing_values_are_listed_and_nothing_changes(project):
    context = project.built()
    before = contents(context)
    with pytest.raises(InputMissingError, match=r"doc_id '77777'.*id 'nobody'.*source 'z'") as told:
        run_retract(context, request(("id", "nobody"), ("source", "z"), ("doc_id", "77777")))
    assert "f4-0" not in told.value.reason
    assert context.corpus.table("retractions").snapshots() == []
    run_retract(context, by_ids("nobody", "f4-0", missing=MissingPolicy.ALLOW))
    assert len(contents(context)["documents"]) == len(before["documents"]) - 1


def test_retract_nothing_asked_or_nothing_built_is_refused(project):
    with pytest.raises(ConflictError, match="no finished result of the shard stage"):
        run_retract(project.context(), by_ids("f4-0"))
    with pytest.raises(SettingsError, match="none is asked for"):
        run_retract(project.context(), request())


def test_retract_without_clean_text(project):
    plain = {"dedup": {"write_clean": False}}
    context = project.built(**plain)
    gone = first_survivor(context)
    run_retract(context, by_ids(gone))
    assert rows_of(context, "clean") == []
    assert_same(context, project.scratch([gone], **plain))


def test_preview_tells_what_would_happen_and_writes_nothing(project):
    context = project.built()
    before = contents(context)
    files = sorted(project.folder.rglob("*.parquet"))
    preview = preview_retraction(context, by_ids("f4-0", "f9-0"))
    assert sorted(project.folder.rglob("*.parquet")) == files
    assert contents(context) == before
    receipt = run_retract(context, by_ids("f4-0", "f9-0")).details.receipt
    assert preview.documents == receipt.documents == 2
    assert preview.new_survivors == receipt.new_survivors
    planned = {e.table: (e.rows_dropped, len(e.added_ids)) for e in preview.edits}
    assert planned == {t.table: (t.rows_removed, t.rows_added) for t in receipt.tables}


def test_request_doubled_values_count_once_and_bad_ones_are_refused():
    assert by_ids("a", "a").selectors == (Selector(SelectorKind.ID, "a"),)
    for kind, value in (("id", ""), ("doc_id", "x"), ("doc_id", "-1"), ("doc_id", str(1 << 63))):
        with pytest.raises(SettingsError, match="names nothing"):
            request((kind, value))
    listed = parse_list(SelectorKind.URL, "https://a\r\n\n  \nhttps://b")
    assert [ask.value for ask in listed] == ["https://a", "https://b"]
