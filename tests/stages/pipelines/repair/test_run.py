"""Verifying and repairing corpora whose files are damaged."""

import json

import pytest

from strata.jobs.cli import main
from strata.jobs.storage import stage_context
from strata.pipelines.maintenance.verify import verify_on_cluster
from strata.pipelines.repair.affected import find_affected
from strata.pipelines.repair.run import RepairMode, RepairStatus
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.integrity.verify import Finding, VerifyLevel, verify
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses, record_accesses
from strata.storage.transfer.metering import FileReads
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.corpora.damaged import (
    break_file,
    checksum,
    findings,
    mend,
    packed_corpus,
    records,
    small_context,
    small_settings,
    text_of,
)
from tests.support.rows import rows_of
from tests.support.sequential import FakeSession, sequential_context


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


@pytest.fixture
def context(settings):
    return small_context(settings)


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
@pytest.mark.parametrize("table", ["documents", "fingerprints", "clean", "tokens"])
def test_repair_gives_the_table_the_same_rows(context, table, how):
    before, key = checksum(context, table), context.corpus.table(table).content_key
    broken = break_file(context, table, how)
    (done,) = mend(context)
    assert (done.outcome, done.url) == (RepairStatus.REBUILT, broken.url)
    assert findings(context) == []
    assert checksum(context, table) == before
    assert context.corpus.table(table).content_key == key
    assert context.corpus.table(table).snapshots()[-1].operation == "replace"


@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_repair_after_a_rewrite_takes_the_older_copy(settings, how):
    run_all(sequential_context(settings, "first"))
    context = packed_corpus(settings)
    before = checksum(context, "documents")
    assert "/cold/" in break_file(context, "documents", how).url
    (done,) = mend(context)
    assert "another copy" in done.sentence
    assert (findings(context), checksum(context, "documents")) == ([], before)


def test_repair_of_every_table_of_documents_but_the_registry(context):
    """Only the inputs and the derived tables are left."""
    before = contents(context)
    for table in ("fingerprints", "clean", "tokens"):
        break_file(context, table, "missing")
    assert {each.outcome for each in mend(context)} == {RepairStatus.REBUILT}
    assert contents(context) == before


@pytest.mark.parametrize("table", ["clusters", "edges"])
def test_repair_clears_derived_tables_and_the_next_run_makes_them_anew(context, table):
    before = contents(context)
    break_file(context, table, "missing")
    (done,) = mend(context)
    assert done.outcome == RepairStatus.CLEARED
    run_all(context)
    assert findings(context) == []
    assert contents(context) == before


@pytest.mark.parametrize("table", ["clean", "tokens"])
def test_repair_clears_survivors_whose_ledger_went_too_for_one_run_to_make(context, table):
    before = contents(context)
    for name in ("clusters", "clean", "tokens") if table == "tokens" else ("clusters", "clean"):
        break_file(context, name, "missing")
    assert {each.outcome for each in mend(context)} == {RepairStatus.CLEARED}
    run_all(context)
    assert findings(context) == []
    assert contents(context) == before


def test_repair_of_survivors_of_older_documents_leaves_them_to_the_next_run(settings, tmp_path):
    context = small_context(settings)
    write_records(tmp_path / "in", {"c.jsonl": records(300, 4)})
    run_shard(context)
    break_file(context, "clean", "missing")
    (planned,) = mend(context, RepairMode.PLAN)
    assert planned.sentence == "would be cleared, for the next run to make it anew"
    (done,) = mend(context)
    assert done.outcome is RepairStatus.CLEARED
    run_all(context)
    assert findings(context) == []
    assert len(rows_of(context, "clean")) == len(rows_of(context, "tokens")) > 0


def test_repair_of_a_changed_input_loses_no_row_silently(context, tmp_path):
    broken = break_file(context, "documents", "missing")
    rows = broken.rows
    write_records(tmp_path / "in", {"a.jsonl": records(500, 3), "b.jsonl": records(600, 3)})
    (done,) = mend(context)
    assert (done.outcome, done.url) == (RepairStatus.LOST, broken.url)
    # The duplicates are not in `clean`, the rest would have been found there.
    assert f"of {rows:,} rows were found, in clean" in done.sentence
    assert context.corpus.table("documents").files() == [broken]
    assert [check.finding for check in findings(context)] == [Finding.MISSING]


def test_repair_takes_survivors_from_clean_and_others_from_inputs(context, tmp_path):
    before = checksum(context, "documents")
    break_file(context, "documents", "missing")
    (done,) = mend(context)
    assert "clean and the input files" in done.sentence
    assert checksum(context, "documents") == before


def test_repair_never_brings_retracted_documents_back(context):
    run_retract(
        context,
        RetractRequest((Selector(SelectorKind.ID, "doc-3"), Selector(SelectorKind.ID, "doc-104"))),
    )
    before = contents(context)
    assert "doc-3" not in {row["id"] for row in before["documents"]}
    for tables in (("documents",), ("documents", "fingerprints"), ("clean", "tokens")):
        for table in tables:
            break_file(context, table, "missing")
        assert {each.outcome for each in mend(context)} == {RepairStatus.REBUILT}
        assert contents(context) == before


def test_repair_of_two_tables_that_need_each_other_reads_the_inputs(context):
    before = contents(context)
    for table in ("documents", "fingerprints", "clean", "tokens"):
        break_file(context, table, "missing")
    assert {each.outcome for each in mend(context)} == {RepairStatus.REBUILT}
    assert contents(context) == before


def test_repair_that_is_only_planned_changes_nothing(context):
    break_file(context, "documents", "missing")
    before = context.corpus.table("documents").snapshots()
    (told,) = mend(context, RepairMode.PLAN)
    assert told.outcome == RepairStatus.PLANNED
    assert "clean, then the input files" in told.sentence
    assert context.corpus.table("documents").snapshots() == before


def test_repair_of_the_registry_is_refused_with_its_name(context):
    broken = break_file(context, "inputs", "missing")
    (done,) = mend(context)
    assert (done.outcome, done.url) == (RepairStatus.LOST, broken.url)


def test_repair_that_dies_before_its_commit_is_done_by_the_next(context, monkeypatch):
    before = contents(context)
    for table in ("documents", "tokens"):
        break_file(context, table, "missing")
    from strata.pipelines.repair import run as module

    kept, calls = module.replace_everywhere, []

    def die_on_second(*given, **named):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return kept(*given, **named)

    monkeypatch.setattr(module, "replace_everywhere", die_on_second)
    with pytest.raises(KeyboardInterrupt):
        mend(context)
    assert [check.table for check in findings(context)] == ["tokens"]
    monkeypatch.undo()
    assert [each.outcome for each in mend(context)] == [RepairStatus.REBUILT]
    assert contents(context) == before


def test_affected_documents_have_their_ids_and_inputs(context, tmp_path):
    broken = break_file(context, "documents", "missing")
    (lost,) = find_affected(context.corpus, context.store, findings(context))
    assert (lost.rows, len(lost.documents)) == (broken.rows, broken.rows)
    names = dict(lost.documents)
    kept = {row["doc_id"]: row["id"] for row in rows_of(context, "clean")}
    # What neither `documents` nor `clean` holds any more has only its number.
    assert {number: name for number, name in names.items() if name} == kept
    assert [uri.rpartition("/")[2] for uri in lost.inputs] == ["a.jsonl", "b.jsonl"]


@pytest.fixture
def whole(settings, tmp_path):
    """A corpus with rows in every table."""
    item = " ".join(f"answer{n}" for n in range(30))
    write_records(tmp_path / "items", {"items.jsonl": [{"id": "item", "text": item}]})
    bench = settings.model_dump() | {
        "corpus": "bench",
        "inputs": [{"path": str(tmp_path / "items")}],
    }
    run_shard(sequential_context(Settings.model_validate(bench), "bench"))
    footer = " ".join(f"footer{n}" for n in range(30))
    pages = [{"id": f"page-{n}", "text": f"{text_of(200 + n)}\n{footer}"} for n in range(3)]
    write_records(
        tmp_path / "in",
        {"c.jsonl": [*pages, {"id": "leak", "text": item}, {"text": ["no", "text"]}]},
    )
    context = sequential_context(
        settings.model_validate(
            settings.model_dump()
            | {"dedup": {"passages": "line", "decontaminate": ["bench"]}}
            | {"shard": {"max_reject_ratio": 0.5}}
        ),
        "first",
    )
    run_shard(context)
    run_retract(context, RetractRequest((Selector(SelectorKind.ID, "doc-3"),)))
    for stage in (run_decontaminate, run_dedup, run_tokenize):
        stage(context)
    return context


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_every_table_is_verified_on_the_cluster_too(whole, table):
    broken = break_file(whole, table, "flipped")
    for found in (
        verify_on_cluster(whole, VerifyLevel.FULL),
        verify(whole.corpus, whole.store),
    ):
        assert [(c.table, c.file.url, c.finding) for c in found.findings] == [
            (table, broken.url, Finding.DAMAGED)
        ]


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_repair_of_any_table_does_what_it_can_and_says_so(whole, table):
    before = {name: checksum(whole, name) for name in SCHEMAS}
    broken = break_file(whole, table, "missing")
    (done,) = mend(whole)
    assert done.url == broken.url
    rebuilt = ("documents", "fingerprints", "clean", "tokens")
    cleared = {
        "edges": ("clusters", "edges"),
        "clusters": ("clusters",),
        "contained": ("contained",),
        "cuts": ("cuts",),
    }
    after = {name: checksum(whole, name) for name in SCHEMAS if name != table}
    if table in rebuilt:
        assert (done.outcome, findings(whole)) == (RepairStatus.REBUILT, [])
        assert after | {table: checksum(whole, table)} == before
    elif table in cleared:
        assert (done.outcome, findings(whole)) == (RepairStatus.CLEARED, [])
        gone = cleared[table]
        assert [whole.corpus.table(name).files() for name in gone] == [[]] * len(gone)
    else:
        assert done.outcome is RepairStatus.LOST
        assert [check.file.url for check in findings(whole)] == [broken.url]


def test_repair_passes_the_reads_of_a_broken_file_on(context):
    broken = break_file(context, "documents", "missing")
    folder = accesses_folder(context.corpus.warehouse, "web")
    record_accesses(context.store, folder, "r", {broken.location.name: FileReads(3, 4)})
    (done,) = mend(context)
    history = read_accesses(context.store, folder)
    assert {sum(history.of(Url.parse(url).name).reads.values()) for url in done.urls} == {3}


@pytest.fixture
def say(context, tmp_path, monkeypatch, capsys):
    """Run `strata storage verify FILE …` and give exit code and JSON."""
    monkeypatch.setattr(stage_context, "LazySession", FakeSession)
    path = tmp_path / "web.toml"
    path.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path}/wh"\n[[inputs]]\npath = "{tmp_path}/in"\n'
        "[tokenize]\ntrain = { vocab_size = 300 }\n"
    )

    def say(*flags):
        code = main(["storage", "verify", str(path), "--json", *flags])
        out = capsys.readouterr()
        return code, json.loads(out.out), out.err

    return say


def test_verify_command_repairs_and_then_finds_nothing(context, say):
    broken = break_file(context, "documents", "flipped")
    code, found, err = say()
    assert (code, found["findings"][0]["url"]) == (3, broken.url)
    assert "--repair" in json.loads(err.splitlines()[-1])["hint"]
    code, found, _ = say("--repair", "--dry-run")
    assert (code, found["findings"][0]["repaired"]["outcome"]) == (3, "planned")
    code, found, _ = say("--repair")
    assert (code, found["findings"][0]["repaired"]["outcome"]) == (0, "rebuilt")
    code, found, _ = say()
    assert (code, found["findings"], found["without_checksum"]) == (0, [], 0)


def test_verify_command_lists_affected_documents(context, say):
    broken = break_file(context, "clean", "missing")
    _, found, _ = say("--table", "clean", "--quick")
    (row,) = found["findings"]
    assert (row["finding"], row["rows"], found["level"]) == ("missing", broken.rows, "footers")
    assert row["affected"]["documents"][0]["id"] == "doc-0"
    assert row["documents"].startswith("doc-0, doc-1, doc-2 and ")


def test_verify_command_tells_a_foreign_file(context, say, tmp_path):
    folder = context.corpus.table("documents").files()[0].location.path.rpartition("/")[0]
    with open(f"{folder}/part-00000.parquet", "wb") as file:
        file.write(b"PAR1")
    code, found, _ = say("--repair")
    assert (code, [row["finding"] for row in found["findings"]]) == (3, ["foreign"])
    assert say("--table", "tokens")[0] == 0


def test_verify_command_refuses_an_unknown_table(say, capsys):
    assert main(["storage", "verify", "nowhere.toml", "--table", "x"]) == 2
