"""Corpora whose folders were moved or copied, on every kind of filesystem."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from strata.errors import ConflictError
from strata.settings import Settings
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.url import Url
from strata.storage.relocation.relocate import commit, plan_relocation, stage
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.relocated import (
    copy_catalog,
    copy_folder,
    destinations_of,
    drop_folder,
    listing,
    move_folder,
    placed,
    state_of,
    urls_of,
)
from tests.support.corpora.tiered import tag
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.rows import ids_by_pyiceberg

NO_GRACE = timedelta(0)
TIERS = ("wh", "hot", "cold")


@pytest.fixture
def old(any_folder):
    return any_folder / "old"


@pytest.fixture
def new(any_folder):
    return any_folder / "new"


@pytest.fixture
def original(settings, any_folder, old, tmp_path, request):
    options = {"s3://bucket": request.getfixturevalue("s3_options")}
    given = options if any_folder.scheme == "s3" else {}
    return placed(settings, old, tmp_path / "catalog.db", storage_options=given)


@pytest.fixture
def moved(original, new, tmp_path):
    return placed(original, new, tmp_path / "catalog.db")


def put(corpus, settings, ids, tier, mode=PublishMode.APPEND):
    files = write(corpus, settings, tier, ids)
    publish(corpus.table(TABLE), files, mode=mode, content_key=str(ids), run_id="r")
    return files


@pytest.fixture
def filled(original):
    """A history with tags, a rewrite and removed files, over all tiers; its state."""
    with open_corpus(original) as corpus:
        put(corpus, original, [1, 2], "hot")
        tag(corpus, "v1")
        put(corpus, original, [3], "cold", PublishMode.OVERWRITE)
        (file,) = put(corpus, original, [4, 5], "hot")
        tag(corpus, "v2")
        made = tuple(write(corpus, original, "warehouse", [4, 5]))
        replace_files(corpus.table(TABLE), [Replacement((file.url,), made)], run_id="r")
        corpus.table(TABLE).set_properties({"note": "of a table"})
        return state_of(corpus)


def relocate(settings: Settings, **more):
    with open_corpus(settings) as corpus:
        relocation = plan_relocation(corpus, destinations_of(settings, **more))
        stage(corpus, relocation)
        commit(corpus, relocation, {})
        return relocation


def test_relocated_corpus_that_was_moved_is_the_same_elsewhere(
    original, moved, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    relocation = relocate(moved)
    assert {(each.old, each.new) for each in relocation.moved} == {
        (old / name, new / name) for name in TIERS
    }
    with open_corpus(moved) as corpus:
        assert state_of(corpus) == filled
        assert all(Url.parse(url).is_below(new) for url in urls_of(corpus))
        assert ids_by_pyiceberg(corpus.table(TABLE)) == [3, 4, 5]
        put(corpus, moved, [6], "hot")
        assert ids_of(corpus) == [3, 4, 5, 6]
        gone = find_orphans(corpus, tiers_of(moved).values(), NO_GRACE)
        collect_garbage(corpus.store, gone)
        assert state_of(corpus)["rows"] == filled["rows"] | {"main": [3, 4, 5, 6]}
    assert any_store.find(old) == []


@pytest.mark.parametrize("name", TIERS)
def test_relocated_corpus_of_which_one_root_was_moved_is_the_same(
    original, filled, any_store, old, new, name
):
    move_folder(any_store, old / name, new / name)
    names = {each: (new if each == name else old) / each for each in TIERS}
    update = {
        "warehouse": str(names["wh"]),
        "tiers": {each: {"url": str(names[each])} for each in ("hot", "cold")},
    }
    settings = Settings.model_validate(original.model_dump() | update)
    relocation = relocate(settings)
    assert [(each.old, each.new) for each in relocation.moved] == [(old / name, new / name)]
    with open_corpus(settings) as corpus:
        assert state_of(corpus) == filled
        assert not any(Url.parse(url).is_below(old / name) for url in urls_of(corpus))


def test_relocated_copy_and_its_original_have_nothing_in_common(
    original, filled, any_store, old, new, tmp_path
):
    copy_folder(any_store, old, new)
    copy = placed(original, new, copy_catalog(tmp_path / "catalog.db", tmp_path / "copy.db"))
    before = listing(any_store, old)
    relocate(copy, is_copy=True)
    with open_corpus(original) as corpus, open_corpus(copy) as other:
        assert state_of(other) == filled
        assert all(Url.parse(url).is_below(new) for url in urls_of(other))
        assert (
            len(
                {table.metadata.table_uuid for c in (corpus, other) for table in c.iceberg_tables()}
            )
            == 2
        )
        for number in range(10, 21):
            # Enough for old metadata files to be deleted by the log's limit.
            put(other, copy, [number], "hot")
        collect_garbage(other.store, find_orphans(other, tiers_of(copy).values(), NO_GRACE))
        assert listing(any_store, old) == before
        assert state_of(corpus) == filled
        put(corpus, original, [7], "hot")
        collect_garbage(corpus.store, find_orphans(corpus, tiers_of(original).values(), NO_GRACE))
        assert ids_of(other) == [3, 4, 5, *range(10, 21)]
        assert ids_of(corpus) == [3, 4, 5, 7]


def test_copy_whose_tier_was_not_copied_is_refused(original, filled, any_store, old, new, tmp_path):
    copy_folder(any_store, old / "wh", new / "wh")
    catalog = copy_catalog(tmp_path / "catalog.db", tmp_path / "copy.db")
    settings = placed(original, old, catalog)
    copy = settings.model_copy(update={"warehouse": str(new / "wh")})
    with pytest.raises(ConflictError, match=str(old / "cold")):
        relocate(copy, is_copy=True)


def test_relocation_of_what_is_in_place_changes_nothing(
    original, moved, filled, any_store, old, new
):
    relocation = relocate(original)
    assert (relocation.tables, relocation.moved) == ((), [])
    move_folder(any_store, old, new)
    assert relocate(moved).rewritten > 0
    before = listing(any_store, new)
    for again in ({}, {"is_copy": True}):
        relocation = relocate(moved, **again)
        assert (relocation.tables, relocation.moved, relocation.is_copy) == ((), [], False)
    assert listing(any_store, new) == before


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_relocation_with_a_file_that_is_not_as_recorded_changes_nothing(
    moved, filled, any_store, old, new, damage
):
    move_folder(any_store, old, new)
    # It is of a tag alone.
    victim = next(each for each in any_store.find(new / "hot") if each.url.suffix == ".parquet")
    any_store.delete(victim.url)
    if damage == "shorter":
        any_store.write_bytes(victim.url, bytes(victim.size - 1))
    before = listing(any_store, new)
    with open_corpus(moved) as corpus:
        pointers = corpus.pointers()
        with pytest.raises(ConflictError, match=f"1 of the .* the first is {victim.url}"):
            plan_relocation(corpus, destinations_of(moved))
        assert corpus.pointers() == pointers
    assert listing(any_store, new) == before


def test_relocation_of_files_in_no_tier_is_refused_unless_their_place_is_given(
    moved, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    move_folder(any_store, new / "hot", new / "elsewhere")
    with pytest.raises(ConflictError) as told:
        relocate(moved)
    assert "--map OLD=NEW" in told.value.hint
    with open_corpus(moved) as corpus:
        destinations = replace(destinations_of(moved), given={old / "hot": new / "elsewhere"})
        relocation = plan_relocation(corpus, destinations)
        stage(corpus, relocation)
        commit(corpus, relocation, {})
        assert state_of(corpus) == filled


def test_relocation_loses_to_a_run_that_published_meanwhile(
    moved, original, filled, any_store, old, new
):
    copy_folder(any_store, old, new)
    with open_corpus(moved) as corpus, open_corpus(original) as running:
        relocation = plan_relocation(corpus, destinations_of(moved))
        stage(corpus, relocation)
        put(running, original, [9], "hot")
        running.table("tokens").iceberg()
        pointers = corpus.pointers()
        with pytest.raises(ConflictError, match="meanwhile"):
            commit(corpus, relocation, {"a": "b"})
        assert corpus.pointers() == pointers


class Killed(BaseException):
    """As if the process were killed."""


class KilledStore:
    """A store whose process is killed at some write."""

    def __init__(self, store, writes):
        self._store = store
        self.left = writes

    def __getattr__(self, name):
        return getattr(self._store, name)

    def create(self, url):
        self._count()
        return self._store.create(url)

    def write_bytes(self, url, data):
        self._count()
        self._store.write_bytes(url, data)

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise Killed


def test_relocation_killed_at_any_write_is_completed_by_another_try(
    moved, original, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    with open_corpus(moved) as corpus:
        pointers, relocation = corpus.pointers(), plan_relocation(corpus, destinations_of(moved))
        names = {new for table in relocation.tables for new in table.names.values()}
        real = corpus.store
        step = 4 if new.scheme == "s3" else 1
        for writes in range(0, relocation.rewritten, step):
            corpus.store = KilledStore(real, writes)
            with pytest.raises(Killed):
                stage(corpus, plan_relocation(corpus, destinations_of(moved)))
            assert corpus.pointers() == pointers
        corpus.store = real
    before = {str(each.url) for each in any_store.find(new)}
    relocate(moved)
    # No try has left anything that the next one did not write again.
    assert {str(each.url) for each in any_store.find(new)} - before <= names
    with open_corpus(moved) as corpus:
        assert state_of(corpus) == filled


def test_relocation_that_was_staged_and_given_up_leaves_the_old_place_usable(
    moved, original, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    with open_corpus(moved) as corpus:
        stage(corpus, plan_relocation(corpus, destinations_of(moved)))
    move_folder(any_store, new, old)
    with open_corpus(original) as corpus:
        assert state_of(corpus) == filled
        collect_garbage(corpus.store, find_orphans(corpus, tiers_of(original).values(), NO_GRACE))
        assert state_of(corpus) == filled
    drop_folder(any_store, new)
