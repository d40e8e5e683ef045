import pyarrow as pa
import pytest

from strata.errors import BalanceError, ConflictError
from strata.storage.iceberg.commits import OverwriteCommit, RewriteCommit
from strata.storage.iceberg.snapshots import live_files
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish, run_commit
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.rows import ids_by_pyiceberg

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
DENSE = ParquetLayout("zstd", 9, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


@pytest.fixture
def table(settings):
    with open_corpus(settings) as corpus:
        yield corpus.table("clusters")


@pytest.fixture
def make(folder):
    def make(*ids, tier="hot", layout=LAYOUT):
        row = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}
        batch = pa.RecordBatch.from_pylist(
            [{"doc_id": i, "kept_id": i} | row for i in ids], schema=CLUSTERS
        )
        with TableWriter(FsspecStore(), folder / tier, "clusters", layout, "t") as writer:
            writer.write(batch)
        return writer.close()

    return make


@pytest.fixture
def filled(table, make):
    for key, ids in (("a", (1, 2)), ("b", (3,)), ("c", (4, 5, 6))):
        publish(
            table,
            make(*ids),
            mode=PublishMode.APPEND,
            content_key=key,
            run_id="r",
            extra={"strata.note": key},
        )
    return table


def urls(table):
    return tuple(file.url for file in table.files())


def test_replace_swaps_many_for_one_and_keeps_key_and_properties(filled, make, folder):
    old = urls(filled)
    (new,) = make(1, 2, 3, 4, 5, 6, tier="cold", layout=DENSE)
    snapshot = replace_files(filled, [Replacement(old, (new,))], run_id="compact")
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]
    (file,) = filled.files()
    assert file.location.is_below(folder / "cold")
    assert (file.codec, file.level, file.min_doc_id, file.max_doc_id) == ("zstd", 9, 1, 6)
    newest = filled.snapshots()[-1]
    assert (newest.snapshot_id, newest.operation, newest.run_id) == (snapshot, "replace", "compact")
    assert newest.properties["total-records"] == "6"
    assert newest.properties["total-data-files"] == "1"
    assert filled.content_key == "c"
    assert filled.latest_property("strata.note") == "c"


def test_replace_groups_of_any_shape_in_one_snapshot(filled, make):
    a, b, c = urls(filled)
    before = len(filled.snapshots())
    replace_files(
        filled,
        [Replacement((a, b), tuple(make(1, 2, 3))), Replacement((c,), tuple(make(4) + make(5, 6)))],
        run_id="r",
    )
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]
    assert len(filled.snapshots()) == before + 1
    assert len(urls(filled)) == 3


def test_replace_untouched_files_stay(filled, make):
    a, b, c = urls(filled)
    replace_files(filled, [Replacement((b,), tuple(make(3)))], run_id="r")
    assert {a, c} < set(urls(filled))
    assert b not in urls(filled)


def test_replace_keeps_data_sequence_numbers(filled, make):
    def numbers():
        iceberg = filled.iceberg()
        return sorted(
            entry.sequence_number
            for manifest in iceberg.current_snapshot().manifests(iceberg.io)
            for entry in manifest.fetch_manifest_entry(iceberg.io)
        )

    assert numbers() == [1, 2, 3]
    replace_files(filled, [Replacement(urls(filled)[:2], tuple(make(1, 2, 3)))], run_id="r")
    assert numbers() == [2, 3]


def test_replace_older_snapshot_still_reads_the_old_files(filled, make):
    before = filled.snapshots()[-1].snapshot_id
    replace_files(filled, [Replacement(urls(filled), tuple(make(*range(1, 7))))], run_id="r")
    scan = filled.iceberg().scan(snapshot_id=before)
    assert scan.to_arrow().num_rows == 6
    assert len(list(scan.plan_files())) == 3


def test_replace_nothing_makes_no_snapshot(filled):
    before = len(filled.snapshots())
    assert replace_files(filled, [], run_id="r") is None
    assert len(filled.snapshots()) == before


@pytest.mark.parametrize("ids", [(1,), (1, 2, 3)])
def test_replace_with_other_row_counts_is_refused(filled, make, ids):
    with pytest.raises(BalanceError, match="2 rows"):
        replace_files(filled, [Replacement(urls(filled)[:1], tuple(make(*ids)))], run_id="r")
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]


def test_replace_of_a_file_that_is_gone_is_a_conflict(filled, make):
    old = urls(filled)[:1]
    replace_files(filled, [Replacement(old, tuple(make(1, 2)))], run_id="r")
    with pytest.raises(ConflictError, match="any more"):
        replace_files(filled, [Replacement(old, tuple(make(1, 2)))], run_id="r")


def staged(table, old, new):
    iceberg = table.iceberg()
    commit = RewriteCommit(iceberg.transaction(), {"strata.run-id": "late"})
    files = [file for file in live_files(iceberg.metadata, iceberg.io) if file.file_path in old]
    commit.replace(files, new)
    return commit


def test_replace_beside_an_append_keeps_both_and_the_newer_key(filled, make):
    commit = staged(filled, urls(filled)[:1], make(1, 2))
    publish(filled, make(7), mode=PublishMode.APPEND, content_key="d", run_id="r")
    assert run_commit(filled, commit) == commit.snapshot_id
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6, 7]
    assert filled.content_key == "d"
    assert filled.snapshots()[-1].operation == "replace"


def test_replace_beside_a_replace_of_the_same_file_is_refused(filled, make):
    old = urls(filled)[:1]
    commit = staged(filled, old, make(1, 2))
    replace_files(filled, [Replacement(old, tuple(make(1, 2)))], run_id="r")
    with pytest.raises(Exception, match=r"[Mm]issing|deleted"):
        run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [1, 2, 3, 4, 5, 6]


def test_replace_beside_an_overwrite_brings_nothing_back(filled, make):
    commit = staged(filled, urls(filled)[:1], make(1, 2))
    publish(filled, make(9), mode=PublishMode.OVERWRITE, content_key="z", run_id="r")
    with pytest.raises(Exception, match=r"[Mm]issing|deleted"):
        run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [9]


def test_replace_during_an_overwrite_leaves_none_of_the_old_rows(filled, make):
    commit = OverwriteCommit(filled.iceberg().transaction(), {"strata.content-key": "z"}, "z")
    commit.add_files(make(9))
    replace_files(filled, [Replacement(urls(filled)[:1], tuple(make(1, 2)))], run_id="r")
    run_commit(filled, commit)
    assert ids_by_pyiceberg(filled) == [9]
    assert filled.snapshots()[-1].properties["total-records"] == "1"


def test_replace_key_still_found_when_older_snapshots_are_expired(filled, make):
    replace_files(filled, [Replacement(urls(filled), tuple(make(*range(1, 7))))], run_id="r")
    iceberg = filled.iceberg()
    newest = iceberg.current_snapshot().snapshot_id
    others = [s.snapshot_id for s in iceberg.snapshots() if s.snapshot_id != newest]
    iceberg.maintenance.expire_snapshots().by_ids(others).commit()
    assert filled.content_key == "c"
    assert publish(filled, make(4), mode=PublishMode.APPEND, content_key="c", run_id="r") is None
