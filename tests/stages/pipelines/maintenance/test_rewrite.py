"""`strata storage rewrite`: other partitions, orders and sizes, and never other rows."""

import json
from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from strata.errors import BalanceError, ConflictError
from strata.partition_settings import partition_fields
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.maintenance import rewrite as rewrite_tables
from strata.pipelines.maintenance import rewrite_task
from strata.pipelines.maintenance.rewrite import RewriteRequest, plan_rewrites, run_rewrite_tables
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import LifecycleRule, RowOrder, Settings
from strata.storage.checksums.rows import CHECKSUM_KEY, RowsChecksum
from strata.storage.cleanup.garbage import find_orphans
from strata.storage.integrity.verify import verify
from strata.storage.layout.file_names import order_of_name
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.lifecycle.accesses import FileHistory
from strata.storage.lifecycle.rules import is_met
from strata.storage.tables.held_files import held_files
from strata.storage.writing.tiers import tiers_of
from tests.support.faults.progress import HookedProgress
from tests.support.rows import rows_by_file, rows_of
from tests.support.sequential import sequential_context

BY = partition_fields("documents", ("lang", "bucket(3, id)"))
SMALL = {"target_file_mb": 0.02}


def lines(start, stop):
    for n in range(start, stop):
        words = " ".join(f"w{(n % 40) * 7919 + k}" for k in range(60))
        record = {
            "id": f"d{n}",
            "text": f"{words} the end {n % 3}",
            "lang": ("de", "en", None)[n % 3],
            "url": f"https://{n % 5}.example.org/{n}",
            "date": f"2023-05-0{n % 4 + 1}T12:00:00Z" if n % 5 else "unknown",
        }
        yield json.dumps(record)


@pytest.fixture
def context_of(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()

    def make(files=2, **sections):
        for number in range(files):
            file = folder / f"{number}.jsonl"
            if not file.exists():
                file.write_text("\n".join(lines(100 * number, 100 * number + 100)))
        settings = Settings(
            corpus="web",
            warehouse=str(tmp_path / "wh"),
            inputs=[{"path": str(folder / "*"), "source": "s"}],
            **({"shard": SMALL} | sections),
        )
        return sequential_context(settings)

    return make


@pytest.fixture
def context(context_of):
    context = context_of()
    run_shard(context)
    return context


def files_of(context):
    return context.corpus.table("documents").files()


def test_rows_go_to_their_partitions_and_small_files_are_joined(context):
    before, key = rows_of(context, "documents"), context.corpus.table("documents").content_key
    request = RewriteRequest(("documents",), BY)
    report = run_rewrite_tables(context, request)
    assert rows_of(context, "documents") == before
    files = rows_by_file(context, "documents")
    assert {file.partition.fields for file, _ in files} == {BY}
    assert len({file.partition for file, _ in files}) == 9
    for file, rows in files:
        assert {row["lang"] for row in rows} == {file.partition["lang"]}
        assert [row["doc_id"] for row in rows] == sorted(row["doc_id"] for row in rows)
    assert report.rows_in == report.rows_out > 0
    assert context.corpus.table("documents").content_key == key
    assert context.corpus.table("documents").snapshots()[-1].operation == "replace"
    assert run_rewrite_tables(context, request).status is StageStatus.SKIPPED
    assert run_shard(context).status is StageStatus.SKIPPED
    assert verify(context.corpus, context.store).findings == []


def test_rows_go_to_their_days_and_rules_find_them(context):
    before = rows_of(context, "documents")
    fields = partition_fields("documents", ("day(created)",))
    run_rewrite_tables(context, RewriteRequest(("documents",), fields))
    files = rows_by_file(context, "documents")
    days = {file.partition["created_day"] for file, _ in files}
    assert days == {None, *(f"2023-05-0{day}" for day in range(1, 5))}
    for file, rows in files:
        day = file.partition["created_day"]
        assert {row["created"] and row["created"].date().isoformat() for row in rows} == {day}
        assert f"/created_day={day or '__HIVE_DEFAULT_PARTITION__'}/" in file.url
    assert rows_of(context, "documents") == before
    rule = LifecycleRule(to="warehouse", partition={"created_day": "2023-05-01"})
    held = held_files(context.corpus.table("documents"))
    met = [each for each in held if is_met(rule, each, FileHistory(), 0)]
    assert {each.partition["created_day"] for each in met} == {"2023-05-01"}
    assert verify(context.corpus, context.store).findings == []


def test_back_to_no_partitions_and_to_another_size(context):
    before = rows_of(context, "documents")
    run_rewrite_tables(context, RewriteRequest(("documents",), BY))
    run_rewrite_tables(context, RewriteRequest(("documents",), ()))
    assert {file.partition.fields for file in files_of(context)} == {()}
    large = len(files_of(context))
    run_rewrite_tables(context, RewriteRequest(("documents",), (), target_file_bytes=4_000))
    assert len(files_of(context)) > large
    run_rewrite_tables(context, RewriteRequest(("documents",), (), target_file_bytes=10**6))
    assert len(files_of(context)) == 1
    assert rows_of(context, "documents") == before


def test_settings_decide_without_flags(context_of):
    run_shard(context_of())
    context = context_of(partitions={"documents": ["lang"]})
    run_rewrite_tables(context, RewriteRequest())
    assert {file.partition["lang"] for file in files_of(context)} == {"de", "en", None}


@pytest.mark.parametrize(
    ("order", "key"),
    [
        (RowOrder.URL, lambda row, _: (row["url"], row["doc_id"])),
        (RowOrder.SOURCE, lambda row, _: (row["source"], row["lang"] or "~", row["doc_id"])),
        (RowOrder.CLUSTER, lambda row, kept: (kept[row["doc_id"]], row["doc_id"])),
    ],
)
def test_rows_are_sorted_inside_their_files(context, order, key):
    run_dedup(context)
    before = rows_of(context, "documents")
    kept = {row["doc_id"]: row["doc_id"] for row in before}
    kept |= {row["doc_id"]: row["kept_id"] for row in rows_of(context, "clusters")}
    assert len(set(kept.values())) < len(kept)
    request = RewriteRequest(("documents",), order=order, target_file_bytes=10**6)
    run_rewrite_tables(context, request)
    ((file, rows),) = rows_by_file(context, "documents")
    assert rows == sorted(rows, key=lambda row: key(row, kept))
    assert rows != before
    assert order_of_name(file.location.name) == order
    assert rows_of(context, "documents") == before
    assert run_rewrite_tables(context, request).status is StageStatus.SKIPPED


def test_sorting_holds_no_more_rows_than_its_bound(context, monkeypatch):
    monkeypatch.setattr(rewrite_task, "SORTED_BYTES", 10_000)
    monkeypatch.setattr(rewrite_task, "ROUTED_BYTES", 2_000)
    before = rows_of(context, "documents")
    request = RewriteRequest(("documents",), BY, RowOrder.URL, 10**6)
    run_rewrite_tables(context, request)
    assert rows_of(context, "documents") == before


def test_compress_sorts_by_its_setting(context_of):
    run_shard(context_of())
    context = context_of(
        tiers={"dense": {"url": str(context_of().corpus.warehouse / "dense"), "level": 9}},
        tables={"documents": "dense"},
        compress={"order": {"documents": "url"}},
    )
    before = rows_of(context, "documents")
    run_compress(context)
    for file, rows in rows_by_file(context, "documents"):
        assert order_of_name(file.location.name) == "url"
        assert [row["url"] for row in rows] == sorted(row["url"] for row in rows)
    assert rows_of(context, "documents") == before
    assert run_compress(context).status is StageStatus.SKIPPED


def test_run_that_dies_between_batches_is_finished_by_the_next(context, monkeypatch):
    before = rows_of(context, "documents")
    monkeypatch.setattr(rewrite_tables, "BATCH_BYTES", 1)
    monkeypatch.setattr(rewrite_tables, "ROUTED_FILES", 0)

    def dies(steps):
        if steps == 1:
            raise KeyboardInterrupt

    request = RewriteRequest(("documents",), BY)
    with pytest.raises(KeyboardInterrupt):
        run_rewrite_tables(replace(context, progress=HookedProgress(after=dies)), request)
    assert {file.partition.fields for file in files_of(context)} == {(), BY}
    assert rows_of(context, "documents") == before
    run_rewrite_tables(context, request)
    assert {file.partition.fields for file in files_of(context)} == {BY}
    assert rows_of(context, "documents") == before


def test_ingest_meanwhile_loses_nothing(context_of, context):
    def beside(steps):
        if steps == 0:
            run_shard(context_of(files=3))

    hooked = replace(context, progress=HookedProgress(after=beside))
    run_rewrite_tables(hooked, RewriteRequest(("documents",), BY))
    assert [row["id"] for row in rows_of(context, "documents")] == [f"d{n}" for n in range(300)]
    assert {file.partition.fields for file in files_of(context)} == {BY}


def test_files_that_another_run_replaced_are_planned_again(context):
    before = rows_of(context, "documents")

    def beside(steps):
        if steps == 0:
            run_rewrite_tables(context, RewriteRequest(("documents",), (), None, 5_000))

    hooked = replace(context, progress=HookedProgress(after=beside))
    report = run_rewrite_tables(hooked, RewriteRequest(("documents",), BY))
    assert report.details.tables["documents"].overtaken > 0
    assert rows_of(context, "documents") == before
    assert {file.partition.fields for file in files_of(context)} == {BY}


def test_other_rows_are_never_published(context):
    before = files_of(context)
    # A footer that holds the checksum of other rows.
    path = before[0].location.path
    rows = pq.read_table(path, schema=SCHEMAS["documents"], partitioning=None)
    other = {CHECKSUM_KEY: RowsChecksum.of(rows.slice(1)).to_text()}
    pq.write_table(rows.replace_schema_metadata(other), path)
    with pytest.raises(BalanceError, match="other rows"):
        run_rewrite_tables(context, RewriteRequest(("documents",), BY))
    assert files_of(context) == before
    live = {file.location.name for file in before}
    stored = context.store.find(before[0].location.parent)
    assert {file.url.name for file in stored} == live


def test_retraction_meanwhile_stops_it(context):
    request = RetractRequest((Selector(SelectorKind.ID, "d7"),))

    def beside(steps):
        if steps == 0:
            run_retract(context, request)

    hooked = replace(context, progress=HookedProgress(after=beside))
    with pytest.raises(ConflictError):
        run_rewrite_tables(hooked, RewriteRequest(("documents",), BY))
    assert {file.partition.fields for file in files_of(context)} == {()}


def test_plan_says_what_is_left(context):
    request = RewriteRequest(("documents",), BY)
    (first, *_) = plan_rewrites(context, "documents", request)
    assert first.partition is None
    assert sum(file.rows for file in first.files) == 200
    assert plan_rewrites(context, "documents", RewriteRequest(("documents",), ())) == []


def test_old_files_stay_while_a_snapshot_refers_to_them(context):
    old = {file.location for file in files_of(context)}
    run_rewrite_tables(context, RewriteRequest(("documents",), BY))
    tiers = tiers_of(context.settings).values()
    found = {f.url for f in find_orphans(context.corpus, tiers, timedelta(0))}
    assert not found & old
