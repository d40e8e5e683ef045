import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from strata.errors import BalanceError
from strata.pipelines.execution.data_files import DataFile, RemovedBy, RowGroups
from strata.pipelines.kernels.content_hash import content_hash
from strata.pipelines.tables.survivors import SurvivorCounts, survivors
from strata.pipelines.tokenization.engine import reference_ids
from strata.pipelines.tokenization.spec import spec_from_json
from strata.pipelines.tokenization.task import TokenTask, run_token_task
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import TokenizeSettings
from strata.storage.contracts.options import StorageOptions
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.corpora.texts import library_texts
from tests.support.rows import rows_of_files

TEXTS = [text[:1500] for text in library_texts(30)]
LAYOUT = ParquetLayout("zstd", 3, 8_000, 10_000_000)
FIRST = 5 << 37
# Two documents in three files are removed: some at both ends, and all of the fourth row group.
REMOVED = [0, 3, 4, 20, 21, 22, 23, 24, 29]


@pytest.fixture(scope="module")
def spec():
    data = train_bpe(pa.array(TEXTS[:5], pa.large_string()), 400)
    return spec_from_json(data, TokenizeSettings(bos=True))


def write(store, folder, table, columns):
    schema = SCHEMAS[table]
    count = len(columns["doc_id"])
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type)
        for f in schema
    ]
    with TableWriter(store, folder / table, table, LAYOUT, "test") as writer:
        for start in range(0, count, 5):
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            writer.write(batch.slice(start, 5))
        (file,) = writer.close()
    return file


@pytest.fixture
def documents(store, folder):
    text = pa.array(TEXTS, pa.large_string())
    columns = {
        "doc_id": np.arange(FIRST, FIRST + len(TEXTS)),
        "id": [str(n) for n in range(len(TEXTS))],
        "text": text,
        "source": ["s"] * len(TEXTS),
        "n_bytes": [len(each.encode()) for each in TEXTS],
        "content_hash": content_hash(text).to_pylist(),
    }
    return write(store, folder, "documents", columns)


@pytest.fixture
def ledger(store, folder):
    """Removed documents among kept ones, in two files; the second has other documents as well."""
    files = []
    for part in ([0, 1, 3, 4, 20], [21, 22, 23, 24, 25, 29, 99]):
        doc_ids = [FIRST + n for n in part]
        columns = {
            "doc_id": doc_ids,
            "kept_id": doc_ids,
            "cluster_size": [2] * len(part),
            "kept": [n not in REMOVED for n in part],
            "method": ["exact"] * len(part),
            "similarity": [1.0] * len(part),
        }
        file = write(store, folder / str(part[0]), "clusters", columns)
        files.append(DataFile(file.url, doc_ids[0], doc_ids[-1], reason=RemovedBy.CLUSTERS))
    return tuple(files)


def task_of(documents, ledger, folder, tables=("tokens", "clean"), groups=None):
    groups = tuple(range(documents.metadata.num_row_groups)) if groups is None else groups
    return TokenTask(
        parts=(RowGroups(DataFile(documents.url, FIRST, FIRST + len(TEXTS) - 1), groups),),
        ledger=ledger,
        cuts=(),
        storage=StorageOptions({}),
        folders={table: folder / "out" / table for table in tables},
        layouts=dict.fromkeys(tables, LAYOUT),
        check_documents=4,
    )


def test_task_survivors_have_the_ids_of_the_reference(store, folder, documents, ledger, spec):
    task, spec = pickle.loads(pickle.dumps((task_of(documents, ledger, folder), spec)))
    result = run_token_task(task, spec)
    kept = [n for n in range(len(TEXTS)) if n not in REMOVED]
    tokens = rows_of_files(store, result.files, "tokens")
    assert [row["doc_id"] - FIRST for row in tokens] == kept
    assert [row["tokens"] for row in tokens] == [reference_ids(spec, TEXTS[n]) for n in kept]
    assert all(row["n_tokens"] == len(row["tokens"]) for row in tokens)
    assert {row["source"] for row in tokens} == {"s"}
    assert (result.survivors.rows_in, result.survivors.removed) == (len(TEXTS), len(REMOVED))
    assert result.checked >= 4
    assert result.counters.tokens == sum(row["n_tokens"] for row in tokens)
    assert result.counters.text_bytes == sum(len(TEXTS[n].encode()) for n in kept)


def test_task_clean_is_the_survivors_with_all_columns(store, folder, documents, ledger, spec):
    result = run_token_task(task_of(documents, ledger, folder), spec)
    whole = rows_of_files(store, [documents], "documents")
    clean = rows_of_files(store, result.files, "clean")
    assert clean == [row for n, row in enumerate(whole) if n not in REMOVED]


def test_task_without_a_folder_for_clean_writes_only_tokens(store, folder, documents, ledger, spec):
    result = run_token_task(task_of(documents, ledger, folder, tables=("tokens",)), spec)
    assert {file.table for file in result.files} == {"tokens"}


def test_task_empty_ledger_keeps_every_document(store, folder, documents, spec):
    result = run_token_task(task_of(documents, (), folder), spec)
    assert (result.survivors.rows_in, result.survivors.removed) == (len(TEXTS), 0)
    assert sum(file.rows for file in result.files if file.table == "tokens") == len(TEXTS)


def test_task_row_groups_of_two_tasks_give_all_documents_once(
    store, folder, documents, ledger, spec
):
    count = documents.metadata.num_row_groups
    assert count >= 3
    halves = [tuple(range(count // 2)), tuple(range(count // 2, count))]
    results = [run_token_task(task_of(documents, ledger, folder, groups=g), spec) for g in halves]
    files = [file for result in results for file in result.files]
    doc_ids = [row["doc_id"] - FIRST for row in rows_of_files(store, files, "tokens")]
    assert doc_ids == [n for n in range(len(TEXTS)) if n not in REMOVED]
    assert sum(result.survivors.rows_in for result in results) == len(TEXTS)


def test_task_whose_documents_are_all_removed_writes_nothing(store, folder, documents, spec):
    columns = {
        "doc_id": np.arange(FIRST, FIRST + len(TEXTS)),
        "kept_id": [1] * len(TEXTS),
        "cluster_size": [2] * len(TEXTS),
        "kept": [False] * len(TEXTS),
        "method": ["exact"] * len(TEXTS),
        "similarity": [1.0] * len(TEXTS),
    }
    file = write(store, folder, "clusters", columns)
    ledger = (DataFile(file.url, FIRST, FIRST + len(TEXTS), reason=RemovedBy.CLUSTERS),)
    result = run_token_task(task_of(documents, ledger, folder), spec)
    assert (result.files, result.survivors.rows_in, result.survivors.removed) == (
        [],
        len(TEXTS),
        len(TEXTS),
    )


def test_task_that_meets_a_wrong_id_leaves_no_file(store, folder, documents, spec):
    wrong = replace(spec, vocab_size=260)
    with pytest.raises(BalanceError, match="outside of the vocabulary of 260 ids"):
        run_token_task(task_of(documents, (), folder), wrong)
    assert store.find(folder / "out") == []


def test_survivors_counts_what_it_reads_and_leaves_out(store, documents, ledger):
    groups = tuple(range(documents.metadata.num_row_groups))
    part = RowGroups(DataFile(documents.url, FIRST, FIRST + len(TEXTS) - 1), groups)
    counts = SurvivorCounts()
    seen = [
        doc_id - FIRST
        for batch in survivors((part, part), ledger, store, counts)
        for doc_id in batch.column("doc_id").to_pylist()
    ]
    kept = [n for n in range(len(TEXTS)) if n not in REMOVED]
    assert seen == [*kept, *kept]
    assert (counts.rows_in, counts.removed) == (2 * len(TEXTS), 2 * len(REMOVED))


def test_survivors_of_contaminated_documents_counts_duplicates_first(
    store, folder, documents, ledger
):
    found = [1, 2, 2, 4, 21, 28]
    columns = {
        "doc_id": [FIRST + n for n in found],
        "other_corpus": ["bench"] * len(found),
        "other_id": list(range(len(found))),
        "containment": [1.0] * len(found),
        "matched": [9] * len(found),
        "sample": ["words"] * len(found),
    }
    file = write(store, folder, "contained", columns)
    contained = DataFile(file.url, FIRST + 1, FIRST + 28, reason=RemovedBy.CONTAINED)
    groups = tuple(range(documents.metadata.num_row_groups))
    part = RowGroups(DataFile(documents.url, FIRST, FIRST + len(TEXTS) - 1), groups)
    counts = SurvivorCounts()

    seen = [
        doc_id - FIRST
        for batch in survivors((part,), (*ledger, contained), store, counts)
        for doc_id in batch.column("doc_id").to_pylist()
    ]

    assert seen == [n for n in range(len(TEXTS)) if n not in {*REMOVED, *found}]
    assert (counts.removed, counts.contaminated) == (len(REMOVED), 3)
