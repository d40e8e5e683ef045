"""Old snapshots go, and never one that the table, a tag or a branch needs."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from strata.errors import TransientError
from strata.storage.cleanup.expiry import expirable, expire
from strata.storage.tables.publish import PublishMode
from tests.support.corpora.clusters import later, put
from tests.support.rows import ids_by_pyiceberg

OVERWRITE = PublishMode.OVERWRITE


def test_expire_keeps_the_present_snapshot_alone(table, make):
    for i in range(3):
        put(table, make(i), str(i))
    gone = expire(table, later())
    assert [snapshot.content_key for snapshot in gone] == ["0", "1"]
    assert [snapshot.content_key for snapshot in table.snapshots()] == ["2"]
    assert ids_by_pyiceberg(table) == [0, 1, 2]
    assert expire(table, later()) == []


def test_expire_counts_the_age_from_the_successor(table, make):
    put(table, make(1), "old")
    put(table, make(2), "new", OVERWRITE)
    superseded = datetime.fromtimestamp(table.snapshots()[1].timestamp_ms / 1000, UTC)
    # Until then the first snapshot was the table, however old it is.
    assert expirable(table, superseded) == []
    (old,) = expirable(table, superseded + timedelta(milliseconds=1))
    assert old.content_key == "old"


def test_expire_keeps_what_a_tag_names(table, make):
    tagged = put(table, make(1), "a")
    table.iceberg().manage_snapshots().create_tag(tagged, "v1").commit()
    put(table, make(2), "b", OVERWRITE)
    put(table, make(3), "c", OVERWRITE)
    assert [snapshot.content_key for snapshot in expire(table, later())] == ["b"]
    assert ids_by_pyiceberg(table, tagged) == [1]


def test_expire_of_an_unpublished_table_does_nothing(table):
    assert expire(table, later()) == []
    assert table.existing() is None


def test_expire_keeps_the_content_key(table, make):
    put(table, make(1), "a")
    put(table, make(2), "b")
    expire(table, later())
    assert table.content_key == "b"
    assert put(table, make(2), "b") is None


def test_expire_beside_an_append_is_repeated(table, make, monkeypatch):
    put(table, make(1), "a")
    put(table, make(2), "b")
    catalog = type(table._catalog)
    real, calls = catalog.commit_table, []

    def raced(self, iceberg, *rest):
        if not calls:
            calls.append(1)
            stale = self.load_table(iceberg.name())
            put(table, make(3), "c")
            monkeypatch.setattr(catalog, "load_table", lambda *_: stale)
            try:
                return real(self, iceberg, *rest)
            finally:
                monkeypatch.setattr(catalog, "load_table", load)
        return real(self, iceberg, *rest)

    load = catalog.load_table
    monkeypatch.setattr(catalog, "commit_table", raced)
    assert [snapshot.content_key for snapshot in expire(table, later())] == ["a", "b"]
    assert ids_by_pyiceberg(table) == [1, 2, 3]


def before_the_next_commit(table, monkeypatch, other):
    """Let something else happen between what a change looked at and its commit."""
    catalog = type(table._catalog)
    real = catalog.commit_table

    def raced(self, *rest):
        monkeypatch.setattr(catalog, "commit_table", real)
        other()
        return real(self, *rest)

    monkeypatch.setattr(catalog, "commit_table", raced)


def test_expire_beside_a_rollback_keeps_the_table_and_its_rows(table, make, monkeypatch):
    old = put(table, make(1), "a")
    put(table, make(2), "b", OVERWRITE)
    put(table, make(3), "c", OVERWRITE)
    back = table.iceberg().manage_snapshots().set_current_snapshot(snapshot_id=old)
    before_the_next_commit(table, monkeypatch, back.commit)
    assert [snapshot.content_key for snapshot in expire(table, later())] == ["b"]
    assert (table.snapshot_id(), ids_by_pyiceberg(table)) == (old, [1])


def test_expire_beside_a_branch_that_moves_to_an_old_snapshot_keeps_it(table, make, monkeypatch):
    old = put(table, make(1), "a")
    new = put(table, make(2), "b", OVERWRITE)
    table.iceberg().manage_snapshots().create_branch(new, "side").commit()
    put(table, make(3), "c", OVERWRITE)
    move = table.iceberg().manage_snapshots().create_branch(old, "side")
    before_the_next_commit(table, monkeypatch, move.commit)
    assert [snapshot.content_key for snapshot in expire(table, later())] == ["b"]
    assert ids_by_pyiceberg(table, old) == [1]


def test_expire_locked_catalog_is_transient(table, make, monkeypatch):
    put(table, make(1), "a")
    put(table, make(2), "b")

    def locked(*_):
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(type(table._catalog), "commit_table", locked)
    with pytest.raises(TransientError, match="locked"):
        expire(table, later())
