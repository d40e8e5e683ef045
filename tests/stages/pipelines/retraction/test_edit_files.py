from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from strata.errors import BalanceError
from strata.pipelines.retraction.edit_files import (
    EditTask,
    Inserts,
    TableEdit,
    plan_edit,
    publish_edit,
    run_edit_task,
)
from strata.pipelines.tables.doc_set import DocumentSet, RowFilter, count_matching_rows
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.layout.schemas import CLEAN, EDGES
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.rows import rows_of, rows_of_files
from tests.support.sequential import sequential_context

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=3_000, target_file_bytes=50_000_000)
NO_IDS = np.empty(0, np.int64)


def clean_rows(doc_ids):
    rows = [
        {
            "doc_id": int(doc_id),
            "id": f"d{doc_id}",
            "text": f"text {doc_id} " * (int(doc_id) % 13),
            "source": "s",
            "lang": None,
            "url": None,
            "metadata": "{}",
            "n_bytes": int(doc_id) % 13,
            "content_hash": bytes(16),
        }
        for doc_id in doc_ids
    ]
    return pa.RecordBatch.from_pylist(rows, schema=CLEAN)


def edge_rows(pairs):
    rows = [{"a": a, "b": b, "similarity": 0.9, "equal": False} for a, b in pairs]
    return pa.RecordBatch.from_pylist(rows, schema=EDGES)


def written(store, folder, table, batch):
    with TableWriter(store, folder, table, LAYOUT, "t") as writer:
        writer.write(batch)
    return writer.close()


@pytest.mark.parametrize("seed", range(8))
def test_edit_task_rows_are_those_of_a_set_in_order(store, folder, seed):
    rng = np.random.default_rng(seed)
    there = np.unique(rng.integers(0, 5_000, 600))
    coming = np.setdiff1d(np.unique(rng.integers(-50, 5_050, 90)), there)
    gone = np.unique(rng.choice(there, 40))
    (old,) = written(store, folder / "old", "clean", clean_rows(there))
    halves = np.array_split(coming, 2)
    staged = [written(store, folder / "new", "clean", clean_rows(half))[0].url for half in halves]
    naming = RowFilter(("doc_id",), DocumentSet.of(gone, [1]))
    task = EditTask(
        "clean",
        ("doc_id",),
        old.url,
        naming,
        Inserts(tuple(staged), 0, 4_000),
        folder / "out",
        LAYOUT,
        "retract",
        StorageOptions({}),
    )
    result = run_edit_task(task)

    mine = coming[(coming >= 0) & (coming <= 4_000)]
    expected = sorted({*there.tolist(), *mine.tolist()} - set(gone.tolist()))
    (new,) = result.edit.new
    assert rows_of_files(store, [new], "clean") == clean_rows(expected).to_pylist()
    assert (result.edit.removed, result.edit.added) == (len(gone), len(mine))
    assert result.edit.old == (old.url,)
    assert count_matching_rows(old.url, naming, StorageOptions({})) == len(gone)


@pytest.mark.parametrize("seed", range(4))
def test_edit_task_pairs_stay_sorted_by_both_columns(store, folder, seed):
    rng = np.random.default_rng(seed)

    def pairs(number):
        drawn = rng.integers(0, 12, (number, 2)).tolist()
        return {(min(pair), max(pair) + 1) for pair in drawn}

    there = pairs(60)
    coming = pairs(40) - there
    (old,) = written(store, folder / "old", "edges", edge_rows(sorted(there)))
    (staged,) = written(store, folder / "new", "edges", edge_rows(sorted(coming)))
    task = EditTask(
        "edges",
        ("a", "b"),
        old.url,
        RowFilter(("a", "b"), DocumentSet.of([3])),
        Inserts((staged.url,)),
        folder / "out",
        LAYOUT,
        "retract",
        StorageOptions({}),
    )
    (new,) = run_edit_task(task).edit.new
    left = {pair for pair in there if 3 not in pair} | coming
    assert [(row["a"], row["b"]) for row in rows_of_files(store, [new], "edges")] == sorted(left)


def test_edit_task_file_without_a_row_left_is_not_written(store, folder):
    (old,) = written(store, folder / "old", "clean", clean_rows([1, 2]))
    naming = RowFilter(("doc_id",), DocumentSet.of([1, 2]))
    task = EditTask(
        *("clean", ("doc_id",), old.url, naming, Inserts()),
        *(folder / "out", LAYOUT, "retract", StorageOptions({})),
    )
    assert run_edit_task(task).edit.new == ()
    assert store.find(folder / "out") == []


@pytest.fixture
def context(settings):
    return sequential_context(
        Settings(corpus="web", warehouse=settings.warehouse, inputs=settings.inputs)
    )


@pytest.fixture
def filled(context, store, folder):
    """A table `clean` of three files: documents 10-19, 20-29 and 40-49."""
    files = []
    for low in (10, 20, 40):
        files += written(store, folder / "data", "clean", clean_rows(range(low, low + 10)))
    table = context.corpus.table("clean")
    publish(table, files, mode=PublishMode.APPEND, content_key="k", run_id="r")
    return context


def edited(context, store, folder, gone, coming):
    drop = RowFilter(("doc_id",), DocumentSet.of(gone))
    edit = plan_edit(context, "clean", drop, np.array(coming, np.int64))
    staged = written(store, folder / "staged", "clean", clean_rows(coming)) if coming else []
    publish_edit(context, edit, staged, onto="k", content_key="new", extra={})
    return edit


@pytest.mark.parametrize(
    ("gone", "coming", "touched"),
    [
        ([15, 45], [], {10, 40}),
        ([], [5, 33, 60], {10, 20, 40}),
        ([21], [22 + 10], {20}),
        (range(20, 30), [], {20}),
        ([35], [], set()),
    ],
)
def test_publish_edit_rewrites_touched_files_only(filled, store, folder, gone, coming, touched):
    table = filled.corpus.table("clean")
    before = {file.min_doc_id: file.url for file in table.files()}
    edited(filled, store, folder, gone, coming)
    left = {file.url for file in table.files()}
    assert {low for low, url in before.items() if url not in left} == touched
    expected = {*range(10, 30), *range(40, 50), *coming} - set(gone)
    assert [row["doc_id"] for row in rows_of(filled, "clean")] == sorted(expected)
    assert table.content_key == "new"
    bounds = [(file.min_doc_id, file.max_doc_id) for file in table.files()]
    assert all(high < low for (_, high), (low, _) in pairwise(bounds))


def test_publish_edit_where_other_rows_went_than_planned_is_refused(filled, store, folder):
    drop = RowFilter(("doc_id",), DocumentSet.of([15]))
    (url,) = plan_edit(filled, "clean", drop, NO_IDS).dropped
    wrong = TableEdit("clean", drop, {url: 2}, NO_IDS)
    with pytest.raises(BalanceError, match="2 rows have to go"):
        publish_edit(filled, wrong, [], onto="k", content_key="new", extra={})
    assert len(rows_of(filled, "clean")) == 30


def test_gone_holds_ids_and_all_documents_of_an_input_file():
    gone = DocumentSet.of([5, 3, 5], [2])
    ids = np.array([3, 4, 5, (2 << 37) - 1, 2 << 37, (3 << 37) - 1, 3 << 37, -7])
    assert gone.contains(ids).tolist() == [True, False, True, False, True, True, False, False]
    assert gone.overlaps(4, 5)
    assert not gone.overlaps(6, (2 << 37) - 1)
    assert gone.overlaps(6, 2 << 37)
    assert not DocumentSet.of([])
    assert DocumentSet.of([], [0])
