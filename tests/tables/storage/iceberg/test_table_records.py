"""A table's history as plain records, and the return to an older state of it."""

import pyarrow as pa
import pytest

from strata.errors import ConflictError
from strata.storage.layout.records import PRESENT
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.tables.tags import tag_corpus
from strata.storage.writing.parquet import ParquetLayout, TableWriter

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


@pytest.fixture
def corpus(settings):
    with open_corpus(settings) as corpus:
        yield corpus


@pytest.fixture
def table(corpus):
    return corpus.table("clusters")


@pytest.fixture
def make(folder):
    def make(*ids):
        row = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}
        rows = [{"doc_id": i, "kept_id": i} | row for i in ids]
        with TableWriter(FsspecStore(), folder, "clusters", LAYOUT, "t") as writer:
            writer.write(pa.RecordBatch.from_pylist(rows, schema=CLUSTERS))
        return writer.close()

    return make


@pytest.fixture
def put(table, make):
    def put(key, *ids, mode=PublishMode.APPEND):
        return publish(table, make(*ids), mode=mode, content_key=key, run_id="r")

    return put


def ids_of(table):
    return [number for file in table.files() for number in (file.min_doc_id, file.max_doc_id)]


def test_table_never_published_exists_not_and_has_no_history(table):
    assert not table.exists()
    assert (table.refs(), table.tags(), table.snapshots_of_result()) == ({}, {}, [])
    assert not table.exists()


def test_refs_are_the_table_and_its_tags(corpus, table, put):
    first = put("a", 1)
    tag_corpus(corpus, "v1")
    second = put("b", 2)
    assert table.refs() == {PRESENT: second, "v1": first}
    assert table.tags() == {"v1": first}
    assert table.exists()


def test_totals_count_rows_files_and_bytes(table, put):
    put("a", 1, 2)
    put("b", 3)
    sizes = {file.min_doc_id: file.n_bytes for file in table.files()}
    put("c", 7, mode=PublishMode.OVERWRITE)
    appended, overwritten = (each.totals for each in table.snapshots()[1:])
    assert (appended.rows, appended.files, appended.files_added) == (3, 2, 1)
    assert (appended.files_removed, appended.bytes_removed) == (0, 0)
    assert appended.bytes_added == sizes[3]
    assert (overwritten.rows, overwritten.files) == (1, 1)
    assert (overwritten.files_added, overwritten.files_removed) == (1, 2)
    assert overwritten.bytes_removed == sizes[1] + sizes[3]


def test_snapshots_of_result_are_those_since_it_was_published(table, put, make):
    put("a", 1)
    put("b", 1, 2, mode=PublishMode.OVERWRITE)
    old = tuple(file.url for file in table.files())
    replace_files(table, [Replacement(old, tuple(make(1, 2)))], run_id="compact")
    assert table.snapshots_of_result() == [
        each.snapshot_id for each in reversed(table.snapshots()[1:])
    ]


def test_return_to_makes_the_table_what_it_was(table, put):
    first, second = put("a", 1), put("b", 2)
    table.return_to(first, expected=second)
    assert (table.snapshot_id(), table.content_key, ids_of(table)) == (first, "a", [1, 1])


def test_return_to_the_present_snapshot_changes_nothing(table, put):
    put("a", 1)
    second = put("b", 2)
    table.return_to(second, expected=1)
    assert table.snapshot_id() == second


def test_return_to_beside_another_publish_is_refused(table, put):
    first, second = put("a", 1), put("b", 2)
    third = put("c", 3)
    with pytest.raises(ConflictError, match="another run published to clusters meanwhile"):
        table.return_to(first, expected=second)
    assert table.snapshot_id() == third


def test_return_to_an_expired_snapshot_is_refused(table, put):
    present = put("a", 1)
    with pytest.raises(ConflictError, match="snapshot 12345 of clusters has just expired"):
        table.return_to(12345, expected=present)
    assert table.snapshot_id() == present
