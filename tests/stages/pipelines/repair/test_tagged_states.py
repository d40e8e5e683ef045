"""Repairing what tags keep: states that are not the present one, and files that several share."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from strata.errors import ConflictError
from strata.pipelines.maintenance.rollback import plan_rollback, roll_back
from strata.pipelines.maintenance.verify import verify_on_cluster
from strata.pipelines.repair.affected import find_affected
from strata.pipelines.repair.run import RepairMode, RepairStatus
from strata.pipelines.repair.sources import rebuilt_files
from strata.pipelines.retraction.receipt import retained_snapshots
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.pipelines.tables.state import CorpusState
from strata.settings import Settings
from strata.storage.integrity.verify import Finding, VerifyLevel, verify
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.tags import tag_corpus
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.corpora.damaged import (
    break_file,
    checksum,
    damage,
    findings,
    mend,
    packed_corpus,
    records,
    small_context,
    small_settings,
    text_of,
)
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


@pytest.fixture
def context(settings):
    return small_context(settings)


def retract(context, number):
    return run_retract(context, RetractRequest((Selector(SelectorKind.ID, number),)))


def table_writer(context, table):
    folder = context.corpus.table(table).files()[0].location.parent
    layout = ParquetLayout("none", None, row_group_bytes=10**6, target_file_bytes=10**6)
    return TableWriter(context.store, folder.parent, table, layout, "t")


def outcomes(done):
    return {each.table: each.outcome for each in done}


def test_repair_mends_tags_that_name_the_file_too(context, tmp_path):
    before = contents(context)
    tag_corpus(context.corpus, "v1")
    for table in ("documents", "tokens"):
        break_file(context, table, "flipped")
    assert {each.outcome for each in mend(context)} == {RepairStatus.REBUILT}
    write_records(tmp_path / "in", {"c.jsonl": records(300, 4)})
    run_all(context)
    assert contents(context) != before
    roll_back(context.corpus, plan_rollback(context.corpus, "v1"), "back")
    assert findings(context) == []
    assert contents(context) == before


def later_version(context, tmp_path):
    """Tag the corpus, and overwrite what it held by what another threshold and input give."""
    tag_corpus(context.corpus, "v1")
    write_records(tmp_path / "in", {"c.jsonl": records(300, 4)})
    changed = {"dedup": {"threshold": 0.6}, "tokenize": {"train": {"vocab_size": 310}}}
    settings = Settings(**(context.settings.model_dump(exclude_unset=True) | changed))
    run_all(sequential_context(settings, "second"))


def kept_file(context, table):
    table = context.corpus.table(table)
    present = {file.url for file in table.files()}
    return next(file for file in table.files_of_ref("v1") if file.url not in present)


@pytest.mark.parametrize("how", ["missing", "flipped"])
@pytest.mark.parametrize("table", ["clean", "tokens"])
def test_repair_makes_files_anew_that_only_a_tag_names(context, tmp_path, table, how):
    before = contents(context)
    later_version(context, tmp_path)
    assert findings(context) == []
    damage(context, kept_file(context, table), how)
    (check,) = findings(context)
    assert (check.table, check.refs) == (table, {"v1"})
    (lost,) = find_affected(context.corpus, context.store, [check])
    assert len(lost.documents) == check.file.rows
    present = contents(context)
    (done,) = mend(context)
    if (table, how) == ("clean", "missing"):
        # Without its footer nothing tells whether the ledger of the tag gives just its rows.
        assert done.outcome is RepairStatus.LOST
        assert contents(context) == present
        return
    assert done.outcome is RepairStatus.REBUILT, done
    assert contents(context) == present
    assert findings(context) == []
    roll_back(context.corpus, plan_rollback(context.corpus, "v1"), "back")
    assert contents(context) == before


def test_verify_on_the_cluster_reads_what_tags_keep(context, tmp_path):
    later_version(context, tmp_path)
    sound = verify_on_cluster(context, VerifyLevel.FULL)
    assert (sound.kept > 0, sound.findings) == (True, [])
    broken = damage(context, kept_file(context, "clean"), "flipped")
    (check,) = verify_on_cluster(context, VerifyLevel.FULL).findings
    assert (check.file.url, check.refs) == (broken.url, {"v1"})


@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_repair_of_a_tag_takes_the_rewritten_files(settings, tmp_path, how):
    first = sequential_context(settings, "first")
    run_all(first)
    before = contents(first)
    tag_corpus(first.corpus, "v1")
    context = packed_corpus(settings)
    # Nothing but the rewritten file has these rows.
    shutil.rmtree(tmp_path / "in")
    for table in ("clean", "fingerprints"):
        break_file(context, table, "missing")
    damage(context, kept_file(context, "documents"), how)
    done = {each.table: each for each in mend(context)}
    assert done["documents"].outcome is RepairStatus.REBUILT, done
    assert findings(context) == []
    roll_back(context.corpus, plan_rollback(context.corpus, "v1"), "back")
    assert contents(context) == before


def by_language(tmp_path, first, second):
    """A corpus whose documents of two languages take turns, in a file of each."""
    turns = [row for pair in zip(first, second, strict=True) for row in pair]
    given = {"partitions": {"documents": ["lang"]}}
    return small_context(small_settings(tmp_path, {"a.jsonl": turns}, **given))


def distinct(prefix, count, lang):
    return [
        {
            "id": f"{prefix}{n}",
            "lang": lang,
            "text": " ".join(f"{prefix}{n}x{k}" for k in range(30)),
        }
        for n in range(count)
    ]


@pytest.mark.parametrize("bad", ["present", "both"])
def test_repair_of_files_whose_documents_interleave_mends_the_table_and_its_tag(tmp_path, bad):
    context = by_language(tmp_path, distinct("a", 20, "de"), distinct("b", 20, "en"))
    tag_corpus(context.corpus, "v1")
    retract(context, "b1")
    table = context.corpus.table("documents")
    before = checksum(context, "documents"), checksum(context, "documents", "v1")
    files = {file.url: file for file in table.files()}
    if bad == "both":
        files |= {file.url: file for file in table.files_of_ref("v1")}
    for file in files.values():
        damage(context, file, "missing")
    done = mend(context)
    assert [each.outcome for each in done] == [RepairStatus.REBUILT] * len(files)
    assert findings(context) == []
    assert (checksum(context, "documents"), checksum(context, "documents", "v1")) == before


def test_repair_never_fills_a_file_with_documents_of_another_lost_one(tmp_path):
    # 19 documents of `en` are in `clean`, and one of `de`: as many as the file of `en` had.
    same = [{"id": f"a{n}", "lang": "de", "text": text_of(1)} for n in range(20)]
    english = distinct("b", 19, "en")
    english.append(english[0] | {"id": "b19"})
    context = by_language(tmp_path, english, same)
    tag_corpus(context.corpus, "v1")
    retract(context, "b1")
    for file in context.corpus.table("documents").files_of_ref("v1"):
        damage(context, file, "missing")
    shutil.rmtree(tmp_path / "in")
    write_records(tmp_path / "in", {"z.jsonl": [{"id": "z", "text": "z"}]})
    assert {each.outcome for each in mend(context)} == {RepairStatus.LOST}
    assert [check.finding for check in findings(context)] == [Finding.MISSING] * 2


def test_repair_of_a_tag_from_before_a_retraction_brings_nothing_back(context):
    tag_corpus(context.corpus, "v1")
    key = retract(context, "doc-3").key
    held = retained_snapshots(context.corpus, key).tagged
    before = checksum(context, "documents", "v1")
    damage(context, kept_file(context, "documents"), "missing")
    assert outcomes(mend(context)) == {"documents": RepairStatus.REBUILT}
    assert checksum(context, "documents", "v1") == before
    # The receipt still says who holds the document, and no rollback returns to it.
    assert retained_snapshots(context.corpus, key).tagged == held
    assert held["documents"] == ["v1"]
    newer = context.corpus.table("documents").snapshot_id("v1")
    for state in ("v1", str(newer)):
        with pytest.raises(ConflictError, match="retracted since"):
            plan_rollback(context.corpus, state)
    assert "doc-3" not in {row["id"] for row in rows_of(context, "documents")}
    # A rewrite of what the retraction left holds nothing of it.
    count = retained_snapshots(context.corpus, key).snapshots["documents"]
    packed = packed_corpus(context.settings)
    assert packed.corpus.table("documents").snapshots()[-1].operation == "replace"
    assert retained_snapshots(packed.corpus, key).snapshots["documents"] == count


def test_repair_of_a_tag_that_was_repaired_before_finds_the_same_sources(settings, tmp_path):
    tag_corpus(small_context(settings).corpus, "v1")
    context = packed_corpus(settings)
    before = checksum(context, "documents", "v1")
    for _ in range(2):
        damage(context, kept_file(context, "documents"), "missing")
        (done,) = mend(context)
        assert (done.outcome, done.sentence) == (
            RepairStatus.REBUILT,
            "made anew from another copy",
        )
        shutil.rmtree(tmp_path / "in", ignore_errors=True)
    assert checksum(context, "documents", "v1") == before


def test_repair_of_derived_tables_in_a_tag_waits_for_the_run_that_makes_them_anew(context):
    tag_corpus(context.corpus, "v1")
    tables = ("clusters", "edges")
    before = {table: checksum(context, table) for table in tables}
    for table in tables:
        break_file(context, table, "missing")
    done = mend(context)
    assert outcomes(done) == dict.fromkeys(tables, RepairStatus.LOST)
    assert all("repair again" in each.sentence for each in done)
    run_all(context)
    assert {each.outcome for each in mend(context, RepairMode.PLAN)} == {RepairStatus.PLANNED}
    assert outcomes(mend(context)) == dict.fromkeys(tables, RepairStatus.REBUILT)
    assert findings(context) == []
    assert {table: checksum(context, table, "v1") for table in tables} == before


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_repair_of_a_file_that_two_tags_share_does_what_it_can_for_each(context, tmp_path, names):
    old, new = names
    tag_corpus(context.corpus, old)
    write_records(tmp_path / "in", {"c.jsonl": records(300, 4)})
    run_all(replace(context, run_id="second"))
    tag_corpus(context.corpus, new)
    before = checksum(context, "edges", new)
    damage(context, context.corpus.table("edges").files_of_ref(old)[0], "missing")
    mend(context)
    run_all(replace(context, run_id="third"))
    (done,) = mend(context)
    # The present table is what the newer tag names, and no copy of what the older one does.
    assert done.outcome is RepairStatus.LOST
    assert f"in {new}: made anew" in done.sentence or done.sentence.startswith("made anew")
    assert [check.refs for check in findings(context)] == [{old}]
    assert checksum(context, "edges", new) == before


def test_repair_takes_no_rows_of_another_engine_for_the_same_result(context):
    table = context.corpus.table("clusters")
    rows = pa.Table.from_pylist(rows_of(context, "clusters"), schema=SCHEMAS["clusters"])
    table.existing().overwrite(rows)
    tag_corpus(context.corpus, "v1")
    changed = [row | {"kept_id": row["kept_id"] + 7} for row in rows.to_pylist()]
    table.existing().overwrite(pa.Table.from_pylist(changed, schema=SCHEMAS["clusters"]))
    damage(context, table.files_of_ref("v1")[0], "missing")
    assert outcomes(mend(context)) == {"clusters": RepairStatus.LOST}


def test_repair_takes_no_table_of_another_size_for_the_same_result(context):
    table, state = context.corpus.table("clusters"), CorpusState(context.corpus, "v1")
    tag_corpus(context.corpus, "v1")
    key, files = table.content_key, []
    for number, content_key in enumerate(("between", key)):
        with table_writer(context, "clusters") as writer:
            rows = rows_of(context, "clusters")[: 3 - number]
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["clusters"]))
            files = writer.close()
        mode = PublishMode.OVERWRITE
        publish(table, files, mode=mode, content_key=content_key, run_id="r")
    assert rebuilt_files(state, "clusters", ()) == []


def test_affected_documents_are_told_beside_damage_that_nobody_has_looked_for(tmp_path):
    context = by_language(tmp_path, distinct("a", 20, "de"), distinct("b", 20, "en"))
    gone, damaged = context.corpus.table("documents").files()
    damage(context, gone, "missing")
    data = context.store.read_bytes(damaged.location)
    context.store.write_bytes(damaged.location, data[:4] + bytes(400) + data[404:])
    (check,) = verify(context.corpus, context.store, VerifyLevel.FOOTERS).findings
    (lost,) = find_affected(context.corpus, context.store, [check])
    assert (lost.url, lost.rows, lost.documents) == (gone.url, 20, ())
    assert [uri.rpartition("/")[2] for uri in lost.inputs] == ["a.jsonl"]


def test_repair_of_a_tag_takes_the_tokenizer_that_was_trained_then(context, tmp_path):
    before = checksum(context, "tokens")
    trained = next((tmp_path / "wh" / "web" / "tokenizers").glob("*.json"))
    shutil.copy(trained, tmp_path / "mine.json")
    tag_corpus(context.corpus, "v1")
    write_records(tmp_path / "in", {"c.jsonl": records(300, 4)})
    spec = {"tokenizer": str(tmp_path / "mine.json"), "bos": True}
    settings = context.settings.model_dump(exclude_unset=True) | {"tokenize": spec}
    later = sequential_context(Settings.model_validate(settings), "second")
    run_all(later)
    damage(later, kept_file(later, "tokens"), "missing")
    # Other ids with the present settings: the tag's tokens cannot be made of them.
    assert outcomes(mend(later)) == {"tokens": RepairStatus.LOST}
    assert outcomes(mend(context)) == {"tokens": RepairStatus.REBUILT}
    assert checksum(context, "tokens", "v1") == before
