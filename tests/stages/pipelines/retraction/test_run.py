"""Retracting documents: the tables afterwards are those of a corpus that never had them."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import ConflictError, InputMissingError, SettingsError
from strata.pipelines.execution.stage import StageStatus, reports_folder
from strata.pipelines.lineage.guard import RetractionGuard, unfinished
from strata.pipelines.retraction import run as retraction_run
from strata.pipelines.retraction.request import (
    ExpiryPolicy,
    MissingPolicy,
    RetractRequest,
    parse_list,
)
from strata.pipelines.retraction.run import preview_retraction, run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import Settings
from strata.storage.layout.properties import RETRACTION
from strata.storage.tables import edit
from tests.support.corpora.complete import contents, run_all, survivors, write_records
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

TABLES = ("clean", "tokens", "clusters", "edges", "fingerprints", "rejects", "documents", "inputs")
STAGES = (run_shard, run_dedup, run_tokenize, run_compress)


def words(rng, number=70):
    return [f"w{place}" for place in rng.integers(0, 4000, number)]


def families(seed=5, number=14):
    """Records of three files: families of one to five near or exact copies, shuffled."""
    rng = np.random.default_rng(seed)
    records = []
    for family in range(number):
        base = words(rng)
        for member in range(1 + family % 5):
            copy = list(base)
            for place in rng.integers(0, len(copy), (member + family) % 3):
                copy[place] = f"x{rng.integers(0, 4000)}"
            name = f"f{family}-{member}"
            url = f"https://example.org/{family}"
            records.append({"id": name, "text": " ".join(copy), "url": url})
    records = [records[place] for place in rng.permutation(len(records))]
    third = len(records) // 3
    parts = {"a": records[:third], "b": records[third : 2 * third], "c": records[2 * third :]}
    return {f"{name}/part.jsonl": part for name, part in parts.items()}


class Project:
    """Input files, a tokenizer, and corpora that are made of them."""

    def __init__(self, folder, files):
        self.folder = folder / "project"
        self.folder.mkdir()
        self.kept = folder / "kept"
        self.files = files
        self.runs = 0
        tokenizer = self.folder / "tokenizer.json"
        texts = pa.array([r["text"] for part in files.values() for r in part], pa.large_string())
        tokenizer.write_bytes(train_bpe(texts, 400))
        self.tokenize = {"tokenizer": str(tokenizer)}

    def context(self, home="wh", inputs="in", names=("a", "b", "c"), **sections):
        self.runs += 1
        settings = Settings(
            corpus="web",
            warehouse=str(self.folder / home),
            inputs=[{"path": str(self.folder / inputs / name / "*")} for name in names],
            **({"tokenize": self.tokenize} | sections),
        )
        return sequential_context(settings, f"run-{self.runs}")

    def built(self, **sections):
        """The corpus of all records."""
        write_records(self.folder / "in", self.files)
        if sections:
            run_all(self.context(**sections))
            return self.context(**sections)
        # Tables know where they are, so a copy can only be used in the same place.
        if not self.kept.exists():
            run_all(self.context())
            shutil.copytree(self.folder, self.kept)
        else:
            shutil.rmtree(self.folder)
            shutil.copytree(self.kept, self.folder)
        return self.context()

    def scratch(self, without, **sections):
        """A corpus that never had some records, whose other ones have the same places."""
        write_records(self.folder / "less", self.files, without)
        context = self.context("scratch", "less", **sections)
        run_all(context)
        return context

    @property
    def ids(self):
        return sorted(record["id"] for part in self.files.values() for record in part)


@pytest.fixture(scope="module")
def only_project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("retraction"), families())


@pytest.fixture
def project(only_project):
    for name in ("wh", "scratch", "in", "less"):
        shutil.rmtree(only_project.folder / name, ignore_errors=True)
    return only_project


def request(*selectors, reason=None, missing=MissingPolicy.REFUSE, expiry=ExpiryPolicy.BY_POLICY):
    return RetractRequest.of(
        [Selector(SelectorKind(k), v) for k, v in selectors], reason, missing, expiry
    )


def by_ids(*names, **more):
    return request(*(("id", name) for name in names), **more)


def assert_same(context, scratch):
    ours, theirs = contents(context), contents(scratch)
    # A pair that was verified stays, also where a search without the document finds another way.
    pairs = {(row["a"], row["b"]) for row in ours["edges"]}
    assert pairs >= {(row["a"], row["b"]) for row in theirs.pop("edges")}
    ours.pop("edges")
    assert ours == theirs


def first_survivor(context):
    kept = {row["kept_id"] for row in rows_of(context, "clusters")}
    return next(r["id"] for r in rows_of(context, "documents") if r["doc_id"] in kept)


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


def test_retract_then_run_skips_everything(project):
    context = project.built()
    run_retract(context, by_ids("f4-0", "f0-0"))
    again = run_all(project.context())
    assert {report.status for report in again} == {StageStatus.SKIPPED}


def test_retract_one_snapshot_a_table_and_a_receipt_that_adds_up(project):
    context = project.built()
    before = {name: context.corpus.table(name).snapshots() for name in TABLES}
    rows = {name: len(rows_of(context, name)) for name in TABLES if name != "inputs"}
    gone = ["f4-0", "f4-1", "f9-3"]

    receipt = run_retract(context, by_ids(*gone, reason="asked for")).details.receipt

    assert [table.table for table in receipt.tables] == [
        *("clean", "tokens", "clusters", "edges", "fingerprints", "rejects", "documents"),
        "inputs",
    ]
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


def dying_after(monkeypatch, publishes):
    """Let a run die right after so many of its publishes, or right before the next one."""
    left = [publishes]
    whole = edit.run_commit

    def dying(table, commit):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return whole(table, commit)

    monkeypatch.setattr(edit, "run_commit", dying)


def test_retract_killed_at_every_step_goes_on_and_nothing_else_does(project, monkeypatch):
    context = project.built()
    gone = ["f4-0", "f9-1", "f3-2", "f0-0"]
    attempts = 0
    while True:
        attempts += 1
        with monkeypatch.context() as patch:
            dying_after(patch, 1)
            try:
                run_retract(project.context(), by_ids(*gone) if attempts % 2 else request())
                break
            except KeyboardInterrupt:
                pass
        assert unfinished(context.corpus)
        for stage in STAGES:
            with pytest.raises(ConflictError, match="retract FILE --resume") as refused:
                stage(project.context())
            assert refused.value.exit_code == 4
    assert attempts == len(TABLES) + 2
    assert_same(context, project.scratch(gone))
    again = run_all(project.context())
    assert {report.status for report in again} == {StageStatus.SKIPPED}


def test_retract_killed_before_anything_was_published_leaves_nothing(project, monkeypatch):
    context = project.built()
    with monkeypatch.context() as patch:
        dying_after(patch, 0)
        with pytest.raises(KeyboardInterrupt):
            run_retract(project.context(), by_ids("f4-0"))
    assert unfinished(context.corpus) is None
    assert {report.status for report in run_all(project.context())} == {StageStatus.SKIPPED}


def test_retract_something_else_while_one_is_open_is_a_conflict(project, monkeypatch):
    context = project.built()
    with monkeypatch.context() as patch:
        dying_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_retract(context, by_ids("f4-0"))
    with pytest.raises(ConflictError, match="id 'f4-0'"):
        run_retract(context, by_ids("f4-1"))
    with pytest.raises(ConflictError, match="id 'f4-0'"):
        run_retract(context, by_ids("f4-0", "f4-1"))
    assert preview_retraction(context, request()).selectors == (Selector(SelectorKind.ID, "f4-0"),)
    run_retract(context, request())
    assert_same(context, project.scratch(["f4-0"]))


@pytest.mark.parametrize("stage", [run_dedup, run_tokenize])
def test_retract_while_a_stage_is_at_work_its_result_is_not_published(project, monkeypatch, stage):
    context = project.built()
    changed = {"dedup": {"threshold": 0.85, "survivor": ["longest"]}}
    if stage is run_tokenize:
        run_dedup(project.context(**changed))
    whole = RetractionGuard.check

    def late(guard, tables):
        run_retract(project.context(**changed), by_ids("f4-0"))
        monkeypatch.setattr(RetractionGuard, "check", whole)
        guard.check(tables)

    monkeypatch.setattr(RetractionGuard, "check", late)
    with pytest.raises(ConflictError, match="retracted while the stage was at work"):
        stage(project.context(**changed))

    run_all(project.context(**changed))
    assert_same(context, project.scratch(["f4-0"], **changed))


def test_retract_while_cuts_are_made_they_are_not_published(project, monkeypatch):
    context = project.built()
    changed = {"dedup": {"passages": "line"}}
    whole = RetractionGuard.check

    def late(guard, tables):
        monkeypatch.setattr(RetractionGuard, "check", whole)
        run_retract(project.context(**changed), by_ids("f4-0"))
        guard.check(tables)

    monkeypatch.setattr(RetractionGuard, "check", late)
    with pytest.raises(ConflictError, match="publishes nothing to cuts"):
        run_dedup(project.context(**changed))

    assert context.corpus.table("cuts").files() == []


def test_retract_publish_of_another_process_in_between_is_told_and_mended(project, monkeypatch):
    context = project.built()
    whole = retraction_run.pending_tables

    def meanwhile(corpus, key):
        table = corpus.table("clean")
        edit.edit_files(
            table,
            [],
            onto=table.content_key,
            content_key="other",
            run_id="r",
            extra={RETRACTION: ""},
        )
        return whole(corpus, key)

    with monkeypatch.context() as patch:
        patch.setattr(retraction_run, "pending_tables", meanwhile)
        with pytest.raises(ConflictError, match="published to clean while"):
            run_retract(context, by_ids("f4-0"))
    receipt = run_retract(context, by_ids("f4-0")).details.receipt
    assert receipt.stale == ["clean"]


def test_retract_stale_ledger_rows_go_and_the_next_run_mends_it(project):
    context = project.built()
    other = {"dedup": {"survivor": ["longest", "first"]}}
    receipt = run_retract(project.context(**other), by_ids("f4-0", "f9-0")).details.receipt
    assert receipt.stale == ["clusters", "tokens", "clean"]
    assert receipt.new_survivors is None
    for table in ("documents", "clusters", "clean", "tokens", "fingerprints"):
        assert len(rows_of(context, table)) > 0
    run_all(project.context(**other))
    assert_same(context, project.scratch(["f4-0", "f9-0"], **other))


def test_retract_clusters_beyond_the_bound_are_left_to_the_next_run(project):
    few = {"dedup": {"driver_edges": 2, "memory_documents": 0}}
    context = project.built()
    receipt = run_retract(project.context(**few), by_ids("f4-0")).details.receipt
    assert receipt.stale == ["edges", "clusters", "tokens", "clean"]
    run_all(project.context())
    assert_same(context, project.scratch(["f4-0"]))


def test_retract_trained_tokenizer_is_kept(project):
    train = {"tokenize": {"train": {"vocab_size": 400, "sample_mb": 0.1}}}
    context = project.built(**train)
    fingerprint = context.corpus.table("tokens").properties["strata.tokenizer.fingerprint"]
    receipt = run_retract(context, by_ids(first_survivor(context))).details.receipt
    assert receipt.tokenizer == fingerprint
    assert receipt.new_survivors == 1
    assert {report.status for report in run_all(project.context(**train))} == {StageStatus.SKIPPED}


def test_retract_trained_tokenizer_that_is_gone_tokens_are_made_anew(project):
    train = {"tokenize": {"train": {"vocab_size": 400, "sample_mb": 0.1}}}
    context = project.built(**train)
    for file in (project.folder / "wh" / "web" / "tokenizers").iterdir():
        file.unlink()
    receipt = run_retract(context, by_ids(first_survivor(context))).details.receipt
    assert receipt.stale == ["tokens", "clean"]
    run_all(project.context(**train))
    assert len(rows_of(context, "tokens")) == len(survivors(context))


def test_retract_without_clean_text(project):
    plain = {"dedup": {"write_clean": False}}
    context = project.built(**plain)
    gone = first_survivor(context)
    run_retract(context, by_ids(gone))
    assert rows_of(context, "clean") == []
    assert_same(context, project.scratch([gone], **plain))


def test_retract_before_dedup_ran(project):
    write_records(project.folder / "in", project.files)
    context = project.context()
    run_shard(context)
    run_retract(context, by_ids("f4-0"))
    run_all(context)
    assert_same(context, project.scratch(["f4-0"]))


def test_rebuild_retracted_documents_do_not_come_back(project):
    context = project.built()
    run_retract(context, request(("id", "f4-0"), ("url", "https://example.org/8")))
    lines = (project.folder / "in/a/part.jsonl").read_bytes() + b'{"id": "new", "text": "new"}\n'
    (project.folder / "in/a/part.jsonl").write_bytes(lines)

    rebuilt = project.context(shard={"changed_inputs": "rebuild", "max_reject_ratio": 0})
    report = run_all(rebuilt)[0]

    left = {row["id"] for row in rows_of(context, "documents")}
    assert left == {*project.ids, "new"} - {"f4-0", "f8-0", "f8-1", "f8-2", "f8-3"}
    assert report.rejected == {"retracted": 5}
    assert [row["excerpt"] for row in rows_of(context, "rejects")] == [""] * 5
    assert run_all(project.context())[0].status is StageStatus.SKIPPED


def test_new_inputs_after_a_retraction_are_appended_without_its_documents(project):
    context = project.built()
    selectors = [("id", "f4-0"), ("url", "https://example.org/8"), ("source", "b")]
    run_retract(context, request(*selectors))
    before = len(rows_of(context, "documents"))
    by_id = {r["id"]: r for part in project.files.values() for r in part}
    mirrored = [
        by_id["f4-0"],
        by_id["f4-0"] | {"id": "another id"},
        by_id["f4-0"] | {"text": "another text"},
        {"id": "elsewhere", "text": "of that address", "url": "https://example.org/8"},
        by_id["f0-0"],
    ]
    write_records(project.folder / "in", {"a/zz.jsonl": mirrored, "b/zz.jsonl": mirrored})

    report = run_all(project.context())[0]

    assert report.details.mode == "append"
    assert report.rows_out == 3
    assert report.rejected == {"retracted": 7}
    assert len(rows_of(context, "documents")) == before + 3
    assert "another id" in {row["id"] for row in rows_of(context, "documents")}


def test_source_retracted_its_files_may_go(project):
    project.built()
    run_retract(project.context(), request(("source", "b")))
    (project.folder / "in/b/part.jsonl").unlink()
    reports = run_all(project.context(names=("a", "c")))
    assert {report.status for report in reports} == {StageStatus.SKIPPED}


def texts_on_disk(folder):
    """All texts in any Parquet file, whether a table refers to it or not."""
    found = set()
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        if "text" in table.schema.names:
            found |= set(table["text"].to_pylist())
    return found


def test_expire_now_no_file_holds_the_text_any_more(project):
    context = project.built()
    gone = next(r for part in project.files.values() for r in part if r["id"] == "f4-0")
    receipt = run_retract(context, by_ids("f4-0")).details.receipt
    assert gone["text"] in texts_on_disk(project.folder / "wh")
    assert receipt.held.snapshots["documents"] > 0

    report = run_retract(project.context(), by_ids("f4-0", expiry=ExpiryPolicy.NOW))

    assert report.details.deleted.files > 0
    assert gone["text"] not in texts_on_disk(project.folder / "wh")
    assert_same(context, project.scratch(["f4-0"]))
    assert {r.status for r in run_all(project.context())} == {StageStatus.SKIPPED}


def test_expire_now_with_the_retraction_tells_what_tags_still_hold(project):
    context = project.built()
    table = context.corpus.table("documents").iceberg()
    snapshot = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(snapshot, "v1").commit()
    receipt = run_retract(context, by_ids("f4-0", expiry=ExpiryPolicy.NOW)).details.receipt
    assert receipt.files_deleted > 0
    assert receipt.held.snapshots == {"documents": 1}
    assert receipt.held.tagged == {"documents": ["v1"]}


def test_stored_reports_do_not_quote_what_was_retracted(project):
    context = project.built()
    numbers = {row["id"]: row["doc_id"] for row in rows_of(context, "documents")}
    quoted = [{"doc_id": numbers[name], "sample": f"line of {name}"} for name in ("f4-0", "f4-1")]
    folder = reports_folder(context.settings)
    told = {"stages": [{"details": {"duplicates": {"largest": quoted}}, "doc_id": "x"}]}
    context.store.write_bytes(folder / "old.json", json.dumps(told).encode())
    context.store.write_bytes(folder / "other.json", b'{"stages": [], "sample": "kept"}')
    context.store.write_bytes(folder / "half.json", b'{"stages": [')
    before = context.store.info(folder / "other.json").identity

    receipt = run_retract(context, by_ids("f4-0")).details.receipt

    assert receipt.reports_blanked == 1
    left = json.loads(context.store.read_bytes(folder / "old.json"))
    samples = [each["sample"] for each in left["stages"][0]["details"]["duplicates"]["largest"]]
    assert samples == ["", "line of f4-1"]
    assert context.store.info(folder / "other.json").identity == before


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


def test_retract_first_copy_of_a_passage_the_next_run_keeps_the_second(tmp_path):
    line = "the very same line of ten words is in both"
    rng = np.random.default_rng(3)
    texts = [" ".join(words(rng)) + f"\n{line}\n" for _ in range(3)]
    records = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    project = Project(tmp_path, {"a/part.jsonl": records})
    dedup = {"passages": "line"}
    context = project.built(names=("a",), dedup=dedup)
    assert [line in row["text"] for row in rows_of(context, "clean")] == [True, False, False]

    run_retract(context, by_ids("d0"))

    assert rows_of(context, "cuts") == []
    assert len(rows_of(context, "clean")) == 2
    with pytest.raises(ConflictError, match="`cuts` does not belong"):
        run_tokenize(project.context(names=("a",), dedup=dedup))
    run_all(project.context(names=("a",), dedup=dedup))
    assert [line in row["text"] for row in rows_of(context, "clean")] == [True, False]
