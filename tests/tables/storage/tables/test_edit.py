import pyarrow as pa
import pytest

from strata.errors import BalanceError, ConflictError
from strata.storage.iceberg.commits import EditCommit
from strata.storage.iceberg.snapshots import live_files
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.edit import FileEdit, edit_files
from strata.storage.tables.publish import PublishMode, publish, run_commit
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.rows import ids_by_pyiceberg

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


@pytest.fixture
def table(settings):
    with open_corpus(settings) as corpus:
        yield corpus.table("clusters")


@pytest.fixture
def make(folder):
    def make(*ids):
        row = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}
        batch = pa.RecordBatch.from_pylist(
            [{"doc_id": i, "kept_id": i} | row for i in ids], schema=CLUSTERS
        )
        with TableWriter(FsspecStore(), folder, "clusters", LAYOUT, "t") as writer:
            writer.write(batch)
        return tuple(writer.close())

    return make


@pytest.fixture
def filled(table, make):
    for key, ids in (("a", (1, 2)), ("b", (3,)), ("c", (4, 5, 6))):
        put(table, make(*ids), key, PublishMode.APPEND)
    return table


def put(table, files, key, mode):
    extra = {"strata.note": key}
    publish(table, files, mode=mode, content_key=key, run_id="r", extra=extra)


def edit(table, edits, key="edited", **extra):
    onto = table.content_key
    return edit_files(table, edits, onto=onto, content_key=key, run_id="edit", extra=extra)


def urls(table):
    return tuple(file.url for file in table.files())


def test_edit_rows_go_and_come_in_one_snapshot_with_the_new_key(filled, make):
    a, b, c = urls(filled)
    before = len(filled.snapshots())
    edits = [FileEdit((a,), make(2, 7), removed=1, added=1), FileEdit((c,), make(4, 6), 1, 0)]
    snapshot = edit(filled, edits, **{"strata.why": "asked"})
    assert ids_by_pyiceberg(filled) == [2, 3, 4, 6, 7]
    assert b in urls(filled)
    assert not {a, c} & set(urls(filled))
    newest = filled.snapshots()[-1]
    assert len(filled.snapshots()) == before + 1
    assert (newest.snapshot_id, newest.operation, newest.run_id) == (snapshot, "overwrite", "edit")
    assert newest.content_key == "edited"
    assert newest.properties["total-records"] == "5"
    assert newest.properties["strata.why"] == "asked"
    assert newest.properties["strata.note"] == "c"


def test_edit_files_left_without_rows_go(filled, make):
    edit(filled, [FileEdit(urls(filled), (), removed=6, added=0)])
    assert urls(filled) == ()
    assert filled.content_key == "edited"


def test_edit_rows_for_a_table_without_files(filled, make):
    edit(filled, [FileEdit(urls(filled), (), removed=6, added=0)])
    edit(filled, [FileEdit((), make(8), removed=0, added=1)], "more")
    assert ids_by_pyiceberg(filled) == [8]


def test_edit_of_nothing_records_the_key(filled):
    files, before = urls(filled), len(filled.snapshots())
    edit(filled, [])
    assert (filled.content_key, urls(filled)) == ("edited", files)
    assert len(filled.snapshots()) == before + 1


def test_edit_makes_older_appends_publishable_again(filled, make):
    edit(filled, [FileEdit(urls(filled)[:1], make(2), removed=1, added=0)])
    # The rows of "b" may be among those that were edited, so its key must not be found any more.
    put(filled, make(9), "b", PublishMode.APPEND)
    assert ids_by_pyiceberg(filled) == [2, 3, 4, 5, 6, 9]


@pytest.mark.parametrize(("removed", "added"), [(0, 0), (1, 1), (2, 0)])
def test_edit_that_loses_or_doubles_rows_is_refused(filled, make, removed, added):
    with pytest.raises(BalanceError, match="2 rows, of which"):
        edit(filled, [FileEdit(urls(filled)[:1], make(2), removed, added)])
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]
    assert filled.content_key == "c"


def test_edit_of_a_file_that_is_gone_is_a_conflict(filled, make):
    old = urls(filled)[:1]
    replace_files(filled, [Replacement(old, make(1, 2))], run_id="r")
    with pytest.raises(ConflictError, match="any more"):
        edit(filled, [FileEdit(old, make(1), removed=1, added=0)])


def test_edit_of_another_result_than_it_was_made_from_is_a_conflict(filled, make):
    (old,) = urls(filled)[:1]
    edits = [FileEdit((old,), make(1), removed=1, added=0)]
    with pytest.raises(ConflictError, match="another result"):
        edit_files(filled, edits, onto="b", content_key="k", run_id="r", extra={})
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]


def test_edit_makes_the_table_where_it_is_new(table, make):
    edit(table, [FileEdit((), make(1), removed=0, added=1)])
    assert ids_by_pyiceberg(table) == [1]


def staged(table, old, new):
    iceberg = table.iceberg()
    commit = EditCommit(iceberg.transaction(), {"strata.content-key": "edited"}, "edited")
    files = [file for file in live_files(iceberg.metadata, iceberg.io) if file.file_path in old]
    commit.replace(files, new)
    return commit


def test_edit_beside_a_publish_is_refused(filled, make):
    commit = staged(filled, urls(filled)[:1], make(1))
    put(filled, make(7), "d", PublishMode.APPEND)
    with pytest.raises(Exception, match="holds the result d"):
        run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6, 7]
    assert filled.content_key == "d"


def test_edit_beside_a_rewrite_of_its_file_brings_nothing_back(filled, make):
    old = urls(filled)[:1]
    commit = staged(filled, old, make(1))
    replace_files(filled, [Replacement(old, make(1, 2))], run_id="r")
    with pytest.raises(Exception, match=r"[Mm]issing|deleted"):
        run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]


def test_edit_beside_a_rewrite_of_another_file_keeps_both(filled, make):
    a, b, _ = urls(filled)
    commit = staged(filled, (a,), make(1))
    (moved,) = make(3)
    replace_files(filled, [Replacement((b,), (moved,))], run_id="r")
    run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [1, 3, 4, 5, 6]
    assert moved.url in urls(filled)
    assert filled.content_key == "edited"


def test_edit_that_another_process_made_too_is_published_once(filled, make):
    commit = staged(filled, urls(filled)[:1], make(1))
    edit(filled, [FileEdit(urls(filled)[:1], make(1), removed=1, added=0)])
    assert run_commit(filled, commit) is None
    assert ids_by_pyiceberg(filled) == [1, 3, 4, 5, 6]
