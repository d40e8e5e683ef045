"""Partitioned tables hold what plain ones do, whatever is done to them."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.maintenance.move import run_move
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.tables.lookup import TableLookup
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import Settings
from strata.storage.cleanup.garbage import find_orphans
from strata.storage.integrity.verify import verify
from strata.storage.layout.file_names import order_of_name
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.rows import exported, rows_of
from tests.support.sequential import sequential_context

LANGS = ("de", "en", None, "a/b")
DATES = ("1969-12-31T23:59:59.999999Z", "2023-05-01", 1682944496, None, "never")
PARTITIONS = {
    "documents": ["source", "lang", "month(created)"],
    "clean": ["bucket(4, doc_id)", "truncate(19, url)", "year(created)"],
    "tokens": ["source", "truncate(60, n_tokens)"],
}
TIGHT = {"open_files": 2, "pending_mb": 0.01}
FOOTER = "\nThis footer of eight words is in every document here.\n"


def records(source, number, seed):
    rng = np.random.default_rng(seed)
    made, texts = [], []
    for place in range(number):
        words = [f"w{word}" for word in rng.integers(0, 3000, rng.integers(40, 160))]
        if texts and place % 3 == 0:
            words = list(texts[rng.integers(0, len(texts))])
            words[int(rng.integers(0, len(words)))] = "changed"
        texts.append(words)
        made.append(
            {
                "id": f"{source}-{place}",
                "text": " ".join(words) + FOOTER,
                "lang": LANGS[rng.integers(0, len(LANGS))],
                "url": f"https://example.org/{rng.integers(0, 4)}/{place}",
                "date": DATES[place % len(DATES)],
            }
        )
    return made


FILES = {
    f"{source}/part-{part}.jsonl": records(f"{source}{part}", 40, seed)
    for seed, (source, part) in enumerate([("a", 0), ("a", 1), ("b", 0), ("c", 0)])
}


@pytest.fixture
def context_of(tmp_path):
    tokenizer = tmp_path / "tokenizer.json"
    texts = [record["text"] for part in FILES.values() for record in part]
    tokenizer.write_bytes(train_bpe(pa.array(texts, pa.large_string()), 400))

    def make(home, names=("a", "b", "c"), without=(), **sections):
        if not (tmp_path / home).exists():
            write_records(tmp_path / home / "in", FILES, without)
        settings = Settings(
            corpus="web",
            warehouse=str(tmp_path / home / "wh"),
            inputs=[{"path": str(tmp_path / home / "in" / name / "*")} for name in names],
            tokenize={"tokenizer": str(tokenizer)},
            **({"writers": TIGHT} | sections),
        )
        return sequential_context(settings)

    return make


def assert_same_rows(context, other):
    ours, theirs = contents(context), contents(other)
    for name in ours:
        assert ours[name] == theirs[name], name


def assert_partitions_true(context, partitions=PARTITIONS):
    """Every file lies in the folder of its values, and holds no row of another partition."""
    for table, fields in partitions.items():
        files = context.corpus.table(table).files()
        assert len({file.partition for file in files}) > 3
        for file in files:
            assert [str(field) for field in file.partition.fields] == fields
            assert f"/{table}/data/{file.partition.folder}/" in file.url


@pytest.mark.parametrize(
    "dedup",
    [
        {},
        {"link": "direct", "survivor": ["longest", "first"]},
        {"passages": "line", "substring_words": 20},
    ],
    ids=["plain", "direct links", "passages"],
)
def test_all_stages_give_the_rows_of_plain_tables(context_of, dedup):
    ours = context_of("ours", partitions=PARTITIONS, dedup=dedup)
    plain = context_of("plain", dedup=dedup)
    reports, expected = run_all(ours), run_all(plain)
    assert [report.removed for report in reports] == [report.removed for report in expected]
    assert [(report.rows_in, report.rows_out) for report in reports[:3]] == [
        (report.rows_in, report.rows_out) for report in expected[:3]
    ]
    assert_same_rows(ours, plain)
    assert_partitions_true(ours)
    assert rows_of(ours, "cuts") == rows_of(plain, "cuts")
    assert {report.status for report in run_all(ours)} == {StageStatus.SKIPPED}


def test_other_partitions_from_the_second_run_on(context_of):
    run_all(context_of("ours", names=("a",), partitions={"documents": ["source"]}))
    run_all(context_of("ours", names=("a", "b"), partitions=PARTITIONS))
    context = context_of("ours", partitions={"tokens": ["bucket(2, doc_id)"]})
    run_all(context)
    plain = context_of("plain")
    run_all(plain)
    assert_same_rows(context, plain)
    fields = {file.partition.fields for file in context.corpus.table("documents").files()}
    assert len(fields) == 3


def test_move_leaves_files_in_their_partitions(context_of, tmp_path):
    rule = {"tables": ["documents"], "partition": {"created_month": "2023-05"}, "to": "cold"}
    tiers = {"cold": {"url": str(tmp_path / "cold"), "level": 9}}
    context = context_of("ours", partitions=PARTITIONS, tiers=tiers, lifecycle=[rule])
    run_all(context)
    table = context.corpus.table("documents")
    before, rows = table.files(), contents(context)
    report = run_move(context, timedelta(hours=1))
    assert (report.status, contents(context)) == (StageStatus.DONE, rows)
    assert_partitions_true(context)
    cold = tiers_of(context.settings)["cold"].folder("web", "documents")
    for file in table.files():
        assert file.location.is_below(cold) == (file.partition["created_month"] == "2023-05")
        assert file.location.is_below(cold) == (file.level == 9)
    assert sorted(map(str, (file.partition for file in table.files()))) == sorted(
        map(str, (file.partition for file in before))
    )
    assert report.rows_in == sum(f.rows for f in table.files() if f.location.is_below(cold)) > 0
    assert verify(context.corpus, context.store).findings == []
    assert run_move(context, timedelta(hours=1)).status is StageStatus.SKIPPED
    assert {each.status for each in run_all(context)} == {StageStatus.SKIPPED}


def test_compress_joins_files_of_one_partition_only(context_of):
    small = {"min_files": 2}
    writers = {"open_files": 1, "pending_mb": 0.01}
    sections = {"partitions": PARTITIONS, "compress": small, "writers": writers}
    for names in (("a",), ("a", "b"), ("a", "b", "c")):
        context = context_of("ours", names=names, **sections)
        reports = run_all(context)
    assert reports[-1].status is StageStatus.DONE
    for table in PARTITIONS:
        files = context.corpus.table(table).files()
        assert len(files) == len({file.partition for file in files})
    assert_partitions_true(context)
    plain = context_of("plain")
    run_all(plain)
    assert_same_rows(context, plain)
    assert run_compress(context).status is StageStatus.SKIPPED


def test_compress_into_another_tier_keeps_the_partitions(context_of, tmp_path):
    tiers = {"cold": {"url": str(tmp_path / "cold"), "codec": "zstd", "level": 9}}
    run_all(context_of("ours", partitions=PARTITIONS))
    before = {
        file.partition
        for file in context_of("ours", partitions=PARTITIONS).corpus.table("clean").files()
    }
    context = context_of(
        "ours", partitions=PARTITIONS, tiers=tiers, tables={"clean": "cold", "documents": "cold"}
    )
    run_compress(context)
    files = context.corpus.table("clean").files()
    assert {file.partition for file in files} == before
    assert all(file.location.path.startswith(str(tmp_path / "cold")) for file in files)
    assert_partitions_true(context)
    assert verify(context.corpus, context.store).findings == []


def test_retract_leaves_the_rows_of_a_corpus_without_them(context_of):
    gone = [f"{name}-{place}" for name in ("a0", "b0") for place in range(0, 30, 2)]
    context = context_of("ours", partitions=PARTITIONS)
    run_all(context)
    selectors = [Selector(SelectorKind("id"), name) for name in gone]
    run_retract(
        context, RetractRequest.of(selectors, None, MissingPolicy.REFUSE, ExpiryPolicy.BY_POLICY)
    )
    scratch = context_of("scratch", without=gone)
    run_all(scratch)
    ours, theirs = contents(context), contents(scratch)
    for name in ("documents", "fingerprints", "clusters", "clean", "tokens"):
        assert ours[name] == theirs[name], name
    assert_partitions_true(context)
    assert {report.status for report in run_all(context)[:3]} == {StageStatus.SKIPPED}


def test_lookups_and_export_find_every_document(context_of):
    context = context_of("ours", partitions=PARTITIONS)
    run_all(context)
    lookup = TableLookup(context.corpus, context.store)
    rows = rows_of(context, "documents")
    some = {row["doc_id"]: {"doc_id": row["doc_id"], "id": row["id"]} for row in rows[::7]}
    assert lookup.rows("documents", ["doc_id", "id"], some) == some
    found = sorted(row["id"] for row in exported(context, "documents"))
    assert found == sorted(row["id"] for row in rows_of(context, "clean"))


def test_garbage_of_partition_folders_is_found_and_nothing_else(context_of):
    context = context_of("ours", partitions=PARTITIONS)
    run_all(context)
    live = context.corpus.table("documents").files()[0].location
    stray = live.parent / "stray-0.zstd-3.parquet"
    context.store.write_bytes(stray, b"nobody's")
    tiers = tiers_of(context.settings).values()
    found = {file.url for file in find_orphans(context.corpus, tiers, timedelta(0))}
    needed = {
        file.location
        for table in context.corpus.existing_tables()
        for file in context.corpus.table(table).files()
    }
    assert stray in found
    assert not found & needed


def test_rows_in_another_order_change_no_result(context_of):
    sections = {
        "partitions": {"documents": ["bucket(2, id)"]},
        "compress": {
            "min_files": 2,
            "order": {"documents": "cluster", "clean": "url", "tokens": "source"},
        },
        "dedup": {"passages": "line"},
    }
    run_all(context_of("ours", names=("a",), **sections))
    context = context_of("ours", **sections)
    run_all(context)
    plain = context_of("plain", dedup={"passages": "line"})
    run_all(plain)
    assert_same_rows(context, plain)
    orders = {
        table: {order_of_name(file.location.name) for file in context.corpus.table(table).files()}
        for table in ("documents", "clean")
    }
    assert orders == {"documents": {"cluster"}, "clean": {"url"}}
    rows = rows_of(context, "documents")
    lookup = TableLookup(context.corpus, context.store)
    some = {row["doc_id"]: {"doc_id": row["doc_id"], "id": row["id"]} for row in rows[::5]}
    assert lookup.rows("documents", ["doc_id", "id"], some) == some


def test_retract_from_rows_in_another_order(context_of):
    order = {"documents": "url", "clean": "url", "tokens": "source"}
    sections = {"compress": {"min_files": 2, "order": order}}
    gone = [f"{name}-{place}" for name in ("a0", "b0") for place in range(0, 30, 2)]
    run_all(context_of("ours", names=("a",), **sections))
    context = context_of("ours", **sections)
    run_all(context)
    selectors = [Selector(SelectorKind("id"), name) for name in gone]
    run_retract(
        context, RetractRequest.of(selectors, None, MissingPolicy.REFUSE, ExpiryPolicy.BY_POLICY)
    )
    scratch = context_of("scratch", without=gone)
    run_all(scratch)
    ours, theirs = contents(context), contents(scratch)
    for name in ("documents", "fingerprints", "clusters", "clean", "tokens"):
        assert ours[name] == theirs[name], name
