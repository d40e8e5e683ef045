import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from strata.errors import ConflictError, SettingsError, TransientError
from strata.storage.iceberg.commits import AppendCommit, OverwriteCommit
from strata.storage.iceberg.snapshots import live_files
from strata.storage.layout.schemas import CLUSTERS, SCHEMAS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish, run_commit
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.rows import ids_by_pyiceberg

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
APPEND, OVERWRITE = PublishMode.APPEND, PublishMode.OVERWRITE


def rows(ids):
    return pa.RecordBatch.from_pylist(
        [
            {
                "doc_id": i,
                "kept_id": i,
                "cluster_size": 1,
                "kept": True,
                "method": "exact",
                "similarity": 1.0,
            }
            for i in ids
        ],
        schema=CLUSTERS,
    )


@pytest.fixture
def table(settings):
    with open_corpus(settings) as corpus:
        yield corpus.table("clusters")


@pytest.fixture
def make(folder):
    def make(*ids):
        with TableWriter(FsspecStore(), folder / "data", "clusters", LAYOUT, "t") as writer:
            writer.write(rows(ids))
        return writer.close()

    return make


def put(table, files, mode, key):
    return publish(table, files, mode=mode, content_key=key, run_id="run")


def test_publish_appends_and_overwrites(table, make):
    put(table, make(1, 2) + make(3), APPEND, "a")
    put(table, make(4), APPEND, "b")
    assert ids_by_pyiceberg(table) == [1, 2, 3, 4]
    put(table, make(9), OVERWRITE, "c")
    assert ids_by_pyiceberg(table) == [9]
    assert [s.operation for s in table.snapshots()] == ["append", "append", "overwrite"]
    assert table.snapshots()[-1].properties["total-records"] == "1"
    assert table.content_key == "c"


@pytest.mark.parametrize("mode", PublishMode)
def test_publish_same_key_again_does_nothing(table, make, mode):
    first = put(table, make(1), mode, "a")
    assert first == table.snapshots()[0].snapshot_id
    assert put(table, make(1), mode, "a") is None
    assert ids_by_pyiceberg(table) == [1]


def test_publish_appended_key_is_found_behind_others(table, make):
    put(table, make(1), APPEND, "a")
    put(table, make(2), APPEND, "b")
    assert put(table, make(1), APPEND, "a") is None
    put(table, make(3), OVERWRITE, "c")
    assert put(table, make(1), APPEND, "a") is not None
    assert ids_by_pyiceberg(table) == [1, 3]


def test_files_of_an_older_snapshot_are_those_of_its_time(table, make):
    first = put(table, make(1, 2), APPEND, "a")
    put(table, make(3), OVERWRITE, "b")
    assert [file.rows for file in table.files(first)] == [2]
    assert [file.rows for file in table.files()] == [1]
    with pytest.raises(SettingsError, match="no snapshot 7") as told:
        table.files(7)
    assert str(first) in str(told.value.hint)


def test_carries_a_result_until_it_is_overwritten(table, make):
    assert not table.carries("a")
    put(table, make(1), APPEND, "a")
    put(table, make(2), APPEND, "b")
    assert table.carries("a")
    assert table.carries("b")
    put(table, make(3), OVERWRITE, "c")
    assert not table.carries("a")
    assert table.carries("c")


def test_publish_overwrite_back_to_an_older_key_is_done(table, make):
    for key, number in (("a", 1), ("b", 2), ("a", 3)):
        assert put(table, make(number), OVERWRITE, key) is not None
    assert ids_by_pyiceberg(table) == [3]


@pytest.mark.parametrize("mode", PublishMode)
def test_publish_nothing_still_records_the_key(table, make, mode):
    put(table, make(1), APPEND, "a")
    assert put(table, [], mode, "empty") is not None
    assert table.content_key == "empty"
    assert ids_by_pyiceberg(table) == ([1] if mode is APPEND else [])


def test_publish_nothing_to_a_new_table_records_the_key(table):
    assert put(table, [], OVERWRITE, "empty") is not None
    assert (table.content_key, table.files()) == ("empty", [])


def test_publish_lost_race_with_another_append_is_repeated(table, make):
    iceberg = table.iceberg()
    commit = AppendCommit(iceberg.transaction(), {"strata.content-key": "a"}, "a")
    commit.add_files(make(1))
    put(table, make(2), APPEND, "b")
    assert run_commit(table, commit) == commit.snapshot_id
    assert ids_by_pyiceberg(table) == [1, 2]


@pytest.mark.parametrize(("kind", "mode"), [(AppendCommit, APPEND), (OverwriteCommit, OVERWRITE)])
def test_publish_lost_race_with_the_same_result_does_nothing(table, make, kind, mode):
    put(table, make(5), APPEND, "old")
    commit = kind(table.iceberg().transaction(), {"strata.content-key": "a"}, "a")
    commit.add_files(make(1))
    put(table, make(1), mode, "a")
    before = ids_by_pyiceberg(table)
    assert run_commit(table, commit) is None
    assert ids_by_pyiceberg(table) == before


def test_publish_overwrite_refuses_a_different_result_meanwhile(table, make):
    put(table, make(1), APPEND, "a")
    commit = OverwriteCommit(table.iceberg().transaction(), {"strata.content-key": "c"}, "c")
    commit.add_files(make(3))
    put(table, make(2), APPEND, "b")
    with pytest.raises(Exception, match="result b"):
        run_commit(table, commit)
    assert ids_by_pyiceberg(table) == [1, 2]


def test_publish_failed_commit_leaves_no_metadata_files(table, make, store):
    put(table, make(1), APPEND, "a")
    commit = OverwriteCommit(table.iceberg().transaction(), {"strata.content-key": "c"}, "c")
    commit.add_files(make(3))
    put(table, make(2), APPEND, "b")
    folder = table._folder / "metadata"
    before = {i.url for i in store.find(folder) if i.url.suffix == ".avro"}
    with pytest.raises(Exception, match="result b"):
        run_commit(table, commit)
    assert {i.url for i in store.find(folder) if i.url.suffix == ".avro"} <= before


def test_publish_locked_catalog_is_transient(table, make, monkeypatch):
    table.iceberg()

    def locked(*_):
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(type(table._catalog), "commit_table", locked)
    with pytest.raises(TransientError, match="locked"):
        put(table, make(1), APPEND, "a")
    monkeypatch.undo()
    assert table.content_key is None
    assert put(table, make(1), APPEND, "a") is not None


def test_publish_lost_answer_is_read_back(table, make, monkeypatch):
    table.iceberg()
    real = type(table._catalog).commit_table

    def lost(*arguments):
        real(*arguments)
        raise OperationalError("COMMIT", {}, Exception("connection lost"))

    monkeypatch.setattr(type(table._catalog), "commit_table", lost)
    assert put(table, make(1), APPEND, "a") is not None
    monkeypatch.undo()
    assert ids_by_pyiceberg(table) == [1]


def test_publish_conflict_reaches_the_user_as_conflict(table, make, monkeypatch):
    table.iceberg()

    def failed(*_):
        raise CommitFailedException("branch main has changed")

    monkeypatch.setattr(type(table._catalog), "commit_table", failed)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ConflictError, match="clusters"):
        put(table, make(1), APPEND, "a")


def test_publish_orphans_are_in_no_snapshot(table, make):
    make(7)
    put(table, make(1), APPEND, "a")
    make(8)
    assert ids_by_pyiceberg(table) == [1]


PUBLISHER = """
import json, sys
from strata.settings import Settings
from strata.storage.tables.catalog import open_corpus
from strata.storage.writing.parquet import WrittenFile
from strata.storage.tables.publish import PublishMode, publish
import pickle
settings, work = Settings.model_validate_json(sys.argv[1]), pickle.load(open(sys.argv[2], "rb"))
with open_corpus(settings) as corpus:
    table, mode = corpus.table("clusters"), PublishMode.APPEND
    made = [
        publish(table, files, mode=mode, content_key=key, run_id="p")
        for key, files in work
    ]
print(json.dumps(made))
"""


def run_publisher(settings, work, path):
    import pickle

    path.write_bytes(pickle.dumps(work))
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHER, settings.model_dump_json(), str(path)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_publish_from_two_processes_loses_and_doubles_nothing(settings, make, tmp_path):
    own = [[(f"{p}-{i}", make(100 * p + i)) for i in range(3)] for p in (1, 2)]
    shared = [[(f"shared-{i}", make(i)) for i in range(3)] for _ in (1, 2)]
    plans = [
        [step for pair in zip(own[p], shared[p], strict=True) for step in pair] for p in (0, 1)
    ]
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(run_publisher, [settings] * 2, plans, [tmp_path / "1", tmp_path / "2"])
        )
    with open_corpus(settings) as corpus:
        table = corpus.table("clusters")
        assert ids_by_pyiceberg(table) == [0, 1, 2, *range(100, 103), *range(200, 203)]
        assert len(table.snapshots()) == 9
    assert sum(made is None for result in results for made in result) == 3


def test_publish_with_a_really_locked_database_is_transient(settings, make, tmp_path):
    database = tmp_path / "c.db"
    quick = settings.model_copy(update={"catalog": {"uri": f"sqlite:///{database}?timeout=0.05"}})
    with open_corpus(quick) as corpus, closing(sqlite3.connect(database)) as other:
        table = corpus.table("clusters")
        put(table, make(1), APPEND, "a")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="locked"):
            put(table, make(2), APPEND, "b")
        other.rollback()
        other.execute("BEGIN EXCLUSIVE")
        for question in (table.files, table.snapshots, corpus.existing_tables):
            with pytest.raises(TransientError, match="locked"):
                question()
        other.rollback()
        assert ids_by_pyiceberg(table) == [1]
        assert put(table, make(2), APPEND, "b") is not None
        assert ids_by_pyiceberg(table) == [1, 2]


def test_publish_columns_without_statistics_are_no_warning(settings, folder, caplog):
    kinds = {pa.float32(): 0.5, pa.bool_(): True, pa.binary(16): bytes(16)}
    kinds |= {pa.int64(): 1, pa.int32(): 1, pa.binary(256): bytes(256)}
    kinds |= {pa.string(): "s", pa.large_string(): "t", pa.timestamp("us", "UTC"): 1}
    with open_corpus(settings) as corpus:
        for name, schema in SCHEMAS.items():
            row = {field.name: kinds.get(field.type, [7]) for field in schema}
            with TableWriter(corpus.store, folder, name, LAYOUT, "t") as writer:
                writer.write(pa.RecordBatch.from_pylist([row], schema=schema))
            put(corpus.table(name), writer.close(), APPEND, "k")
            iceberg = corpus.table(name).iceberg()
            (file,) = live_files(iceberg.metadata, iceberg.io)
            # Sizes are known of all columns.
            assert len(file.column_sizes) == len(schema)
    assert [record for record in caplog.records if record.name.startswith("pyiceberg")] == []


def test_publish_properties_set_beside_an_append_are_both_kept(table, make, monkeypatch):
    put(table, make(1), APPEND, "a")
    catalog = type(table._catalog)
    real, lost = catalog.commit_table, []

    def raced(self, iceberg, *rest):
        if not lost:
            lost.append(iceberg)
            raise CommitFailedException("another writer was faster")
        return real(self, iceberg, *rest)

    monkeypatch.setattr(catalog, "commit_table", raced)
    table.set_properties({"strata.note": "x"})
    assert table.properties["strata.note"] == "x"
    assert lost
