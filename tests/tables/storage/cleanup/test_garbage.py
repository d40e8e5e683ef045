"""Files that no table needs are found and collected, and nothing else."""

import os
import pickle
import random
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from strata.errors import ConflictError, IdentityError, InputMissingError
from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import TableWriter
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.clusters import later, put
from tests.support.processes.drivers import LAYOUT, ROW, write
from tests.support.rows import ids_by_pyiceberg

OVERWRITE = PublishMode.OVERWRITE
NO_GRACE = timedelta(0)


@pytest.fixture
def orphans(corpus, tiers):
    def orphans(grace=NO_GRACE):
        return [file.url for file in find_orphans(corpus, tiers.values(), grace)]

    return orphans


def touch(url, hours_ago):
    stamp = time.time() - 3600 * hours_ago
    os.utime(url.path, (stamp, stamp))


def urls_of(files):
    return {Url.parse(file.url) for file in files}


def test_orphans_of_a_new_corpus_are_none(orphans):
    assert orphans() == []


def test_orphans_are_staged_files_that_were_never_published(table, make, orphans):
    put(table, make(1), "a")
    lost = urls_of(make(2) + make(3, tier="cold") + make(4, tier="warehouse"))
    assert set(orphans()) == lost
    # A repeated publish leaves its files behind.
    again = make(1)
    assert put(table, again, "a") is None
    assert set(orphans()) == lost | urls_of(again)


def test_orphans_younger_than_the_grace_are_left_alone(table, make, orphans):
    put(table, make(1), "a")
    young, old = (Url.parse(file.url) for file in make(2) + make(3))
    touch(young, 23)
    touch(old, 25)
    assert orphans(timedelta(hours=24)) == [old]


def test_orphans_of_unknown_age_are_left_alone(corpus, tiers, make, monkeypatch):
    make(1)
    find = FsspecStore.find

    def ageless(store, url):
        return [replace(each, modified_ns=None) for each in find(store, url)]

    monkeypatch.setattr(FsspecStore, "find", ageless)
    assert find_orphans(corpus, tiers.values(), NO_GRACE) == []


def test_orphans_half_written_file_of_a_killed_writer_is_one(corpus, tiers, table, make, orphans):
    put(table, make(1), "a")
    writer = TableWriter(
        corpus.store, tiers["hot"].folder("web", "clusters"), "clusters", LAYOUT, "t"
    )
    writer.write(
        pa.RecordBatch.from_pylist([{"doc_id": 1, "kept_id": 1} | ROW], SCHEMAS["clusters"])
    )
    writer.end_row_group()
    (half,) = orphans()
    assert half.suffix == ".tmp"
    writer.discard()
    assert orphans() == []


@pytest.mark.parametrize("mode", PublishMode)
def test_orphans_replaced_files_count_only_once_expired(table, make, orphans, mode):
    first, second = make(1), make(2)
    put(table, first, "a")
    put(table, second, "b", mode)
    before = table.iceberg().metadata.snapshots[0].manifest_list
    replace_files(
        table,
        [Replacement(tuple(f.url for f in second), tuple(make(2, tier="cold")))],
        run_id="compress",
    )
    assert orphans() == []
    expire(table, later())
    found = set(orphans())
    assert urls_of(second) <= found
    assert (urls_of(first) <= found) is (mode is OVERWRITE)
    assert Url.parse(before) in found


def test_orphans_reports_tokenizers_catalog_and_foreign_files_are_none(
    corpus, tiers, table, make, orphans, settings
):
    put(table, make(1), "a")
    home = corpus.warehouse / "web"
    for url in (
        home / "reports/run.json",
        home / "tokenizers/abc.json",
        home / "reports/run.parquet",
        home / "clusters/metadata/version-hint.text",
        home / "notes/x.parquet",
        corpus.warehouse / "raw/x.parquet",
        tiers["cold"].url / "other/clusters/data/x.parquet",
        tiers["cold"].url / "web/inputs.parquet",
    ):
        corpus.store.write_bytes(url, b"keep")
    assert orphans() == []
    assert corpus.store.exists(corpus.warehouse / "catalog.db")


def test_orphans_an_input_inside_a_data_folder_is_none(corpus, tiers, orphans):
    folder = tiers["cold"].folder("web", "documents")
    corpus.store.write_bytes(folder / "raw.parquet", b"input")
    corpus.store.write_bytes(folder / "lost.parquet", b"lost")
    row = {
        "uri": str(folder / "raw.parquet"),
        "ordinal": 0,
        "size": 5,
        "identity": "1",
        "source": "web",
        "format": "parquet",
        "status": "ok",
        "rows": 1,
        "rejected": 0,
        "cause": "",
    }
    with TableWriter(
        corpus.store, tiers["hot"].folder("web", "inputs"), "inputs", LAYOUT, "t"
    ) as w:
        w.write(pa.RecordBatch.from_pylist([row], schema=SCHEMAS["inputs"]))
    put(corpus.table("inputs"), w.close(), "i")
    assert orphans() == [folder / "lost.parquet"]


def test_orphans_staging_of_a_run_counts_as_a_whole(corpus, orphans):
    staging = corpus.warehouse / "_staging"
    ages = {"done/a": 30, "done/deep/b.bin": 26, "busy/a": 30, "busy/b": 1}
    for name, hours in ages.items():
        corpus.store.write_bytes(staging / name, b"x")
        touch(staging / name, hours)
    assert orphans(timedelta(hours=24)) == [staging / "done/a", staging / "done/deep/b.bin"]


def test_orphans_files_of_other_corpora_and_namespaces_are_needed(settings, make, orphans):
    borrowed, lost = make(7), make(8)
    other = settings.model_copy(update={"corpus": "other"})
    with open_to_write(other) as neighbour:
        put(neighbour.table("clusters"), borrowed, "x")
        catalog = neighbour._catalog
        catalog.create_namespace(("lab", "deep"))
        foreign = catalog.create_table(
            ("lab", "deep", "t"), neighbour.table("clusters").iceberg().schema()
        )
        nested = make(9)
        foreign.add_files([file.url for file in nested])
    assert set(orphans()) == urls_of(lost)
    assert not urls_of(borrowed + nested) & set(orphans())


def test_orphans_table_that_cannot_be_read_stops_the_search(corpus, table, make, orphans):
    put(table, make(1), "a")
    make(2)
    manifest_list = Url.parse(table.iceberg().current_snapshot().manifest_list)
    kept = corpus.store.read_bytes(manifest_list)
    corpus.store.delete(manifest_list)
    with pytest.raises(InputMissingError, match=manifest_list.name):
        orphans()
    corpus.store.write_bytes(manifest_list, kept)
    assert len(orphans()) == 1


def test_orphans_table_dropped_meanwhile_is_a_conflict(corpus, table, make, orphans, monkeypatch):
    put(table, make(1), "a")
    listed = [("web", "clusters"), ("web", "gone")]
    monkeypatch.setattr(type(corpus._catalog), "list_tables", lambda *_: listed)
    with pytest.raises(ConflictError, match=r"web\.gone"):
        orphans()


def test_orphans_of_a_lost_catalog_are_refused(table, settings, make, tmp_path):
    put(table, make(1), "a")
    new = settings.model_copy(update={"catalog": {"uri": f"sqlite:///{tmp_path}/new.db"}})
    with pytest.raises(IdentityError, match="the catalog does not know"):
        open_to_write(new)
    assert not (tmp_path / "new.db").exists()


def test_orphans_published_during_the_search_are_needed(corpus, table, make, orphans, monkeypatch):
    put(table, make(1), "a")
    late = make(2)
    tables = corpus.iceberg_tables

    def published_first():
        put(table, late, "b")
        return tables()

    monkeypatch.setattr(corpus, "iceberg_tables", published_first)
    assert orphans() == []


KILLED = """
import os, pickle, signal, sys
from pyiceberg.catalog.sql import SqlCatalog
from strata.settings import Settings
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish

write_metadata = SqlCatalog._write_metadata

def die(*arguments, **named):
    write_metadata(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

SqlCatalog._write_metadata = staticmethod(die)
settings, files = Settings.model_validate_json(sys.argv[1]), pickle.load(open(sys.argv[2], "rb"))
with open_to_write(settings) as corpus:
    publish(
        corpus.table("clusters"), files, mode=PublishMode.OVERWRITE, content_key="b", run_id="r"
    )
"""


def test_gc_removes_what_a_killed_commit_left(
    settings, corpus, tiers, table, make, orphans, tmp_path
):
    put(table, make(1), "a")
    files = make(2)
    (tmp_path / "files").write_bytes(pickle.dumps(files))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, settings.model_dump_json(), str(tmp_path / "files")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert killed.returncode == -9, killed.stderr
    # Its metadata is newer than the catalog's, as it would be beside a restored catalog.
    assert not urls_of(files) & set(orphans())
    put(table, make(3), "c", OVERWRITE)
    left = orphans()
    assert urls_of(files) < set(left)
    suffixes = sorted(url.name.rpartition("-")[2].partition(".")[2] for url in left)
    assert {"avro", "metadata.json"} < {suffix.removeprefix("zstd-1.") for suffix in suffixes}
    garbage = collect_garbage(corpus.store, find_orphans(corpus, tiers.values(), NO_GRACE))
    assert garbage.files == len(left)
    assert (table.content_key, ids_by_pyiceberg(table)) == ("c", [3])


def test_gc_of_files_gone_meanwhile_is_no_error(corpus, tiers, make):
    (lost,) = make(1)
    found = find_orphans(corpus, tiers.values(), NO_GRACE)
    assert collect_garbage(corpus.store, found).n_bytes == lost.n_bytes
    assert collect_garbage(corpus.store, found).files == 1


@pytest.mark.parametrize("seed", range(2))
def test_gc_never_takes_a_file_that_a_retained_snapshot_needs(corpus, tiers, table, make, seed):
    dice = random.Random(seed)
    rows: set[int] = set()
    expected: dict[int, set[int]] = {}

    def append(i):
        rows.add(i)
        return put(table, make(i), str(i))

    def overwrite(i):
        rows.clear()
        rows.add(i)
        return put(table, make(i), str(i), OVERWRITE)

    def compact(i):
        old = tuple(file.url for file in table.files())
        new = tuple(make(*rows, tier="cold"))
        return replace_files(table, [Replacement(old, new)], run_id="r")

    for i in range(8):
        make(1000 + i)
        act = append if not rows else dice.choice([append, append, overwrite, compact])
        snapshot_id = act(i)
        expected[snapshot_id] = set(rows)
        if dice.random() < 0.3:
            table.iceberg().manage_snapshots().create_tag(snapshot_id, f"v{i}").commit()
        if dice.random() < 0.4:
            for snapshot in expire(table, later()):
                del expected[snapshot.snapshot_id]
        collect_garbage(corpus.store, find_orphans(corpus, tiers.values(), NO_GRACE))
    assert {s.snapshot_id for s in table.snapshots()} == set(expected)
    for snapshot_id, wanted in expected.items():
        assert ids_by_pyiceberg(table, snapshot_id) == sorted(wanted)
    assert find_orphans(corpus, tiers.values(), NO_GRACE) == []


def test_gc_works_on_every_kind_of_store(settings, any_folder, tmp_path, request):
    options = (
        {"s3://bucket": request.getfixturevalue("s3_options")} if any_folder.scheme == "s3" else {}
    )
    remote = settings.model_validate(
        settings.model_dump()
        | {
            "warehouse": str(any_folder / "wh"),
            "catalog": {"uri": f"sqlite:///{tmp_path}/c.db"},
            "storage_options": options,
            "tiers": {"cold": {"url": str(any_folder / "cold")}},
        }
    )
    tiers = tiers_of(remote)
    with open_to_write(remote) as corpus:

        def make(i, tier):
            return write(corpus, remote, tier, [i])

        kept, lost = make(1, "cold"), make(2, "warehouse")
        corpus.store.write_bytes(corpus.warehouse / "_staging/run/x", b"1")
        table = corpus.table("clusters")
        put(table, kept, "a")
        put(table, make(3, "cold"), "b", OVERWRITE)
        assert find_orphans(corpus, tiers.values(), timedelta(hours=1)) == []
        found = {file.url for file in find_orphans(corpus, tiers.values(), NO_GRACE)}
        assert found == urls_of(lost) | {corpus.warehouse / "_staging/run/x"}
        expire(table, later())
        garbage = find_orphans(corpus, tiers.values(), NO_GRACE)
        assert found | urls_of(kept) < {file.url for file in garbage}
        collect_garbage(corpus.store, garbage)
        assert find_orphans(corpus, tiers.values(), NO_GRACE) == []
        assert ids_by_pyiceberg(table) == [3]
