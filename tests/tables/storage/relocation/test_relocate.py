"""Corpora whose folders were moved or copied, on every kind of filesystem."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from strata.errors import ConflictError
from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.relocation.destinations import Kind
from strata.storage.relocation.relocate import commit, plan_relocation, stage
from strata.storage.relocation.vouched import Vouched
from strata.storage.tables.catalog import look_at, open_corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from tests.support.corpora.relocated import (
    Killed,
    KilledStore,
    collect,
    copy_catalog,
    copy_folder,
    destinations_of,
    drop_folder,
    listing,
    move_folder,
    placed,
    relocate,
    state_of,
    urls_of,
)
from tests.support.corpora.tiered import tag
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.rows import ids_by_pyiceberg

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
    with open_to_write(original) as corpus:
        put(corpus, original, [1, 2], "hot")
        tag(corpus, "v1")
        put(corpus, original, [3], "cold", PublishMode.OVERWRITE)
        (file,) = put(corpus, original, [4, 5], "hot")
        tag(corpus, "v2")
        made = tuple(write(corpus, original, "warehouse", [4, 5]))
        replace_files(corpus.table(TABLE), [Replacement((file.url,), made)], run_id="r")
        corpus.table(TABLE).set_properties({"note": "of a table"})
        return state_of(corpus)


@contextmanager
def unfit(settings):
    """A corpus that does not fit its settings yet."""
    with closing(look_at(settings)) as look:
        yield look.corpus()


def test_relocated_corpus_that_was_moved_is_the_same_elsewhere(
    original, moved, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    relocation, _ = relocate(moved)
    assert {(each.old, each.new) for each in relocation.moved} == {
        (old / name, new / name) for name in TIERS
    }
    with open_corpus(moved) as corpus:
        assert state_of(corpus) == filled
        assert all(Url.parse(url).is_below(new) for url in urls_of(corpus))
        assert ids_by_pyiceberg(corpus.table(TABLE)) == [3, 4, 5]
        put(corpus, moved, [6], "hot")
        assert ids_of(corpus) == [3, 4, 5, 6]
        # The former metadata, at least.
        assert collect(moved) >= relocation.rewritten
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
    relocation, _ = relocate(settings)
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
    relocate(copy, Kind.COPY, Vouched.OWN_CATALOG)
    with open_to_write(original) as corpus, open_to_write(copy) as other:
        assert state_of(other) == filled
        assert all(Url.parse(url).is_below(new) for url in urls_of(other))
        uuids = {
            each.metadata.table_uuid for one in (corpus, other) for each in one.iceberg_tables()
        }
        assert len(uuids) == 2
        for number in range(10, 21):
            # Enough for old metadata files to be deleted by the log's limit.
            put(other, copy, [number], "hot")
        collect(copy)
        assert listing(any_store, old) == before
        assert state_of(corpus) == filled
        put(corpus, original, [7], "hot")
        collect(original)
        assert ids_of(other) == [3, 4, 5, *range(10, 21)]
        assert ids_of(corpus) == [3, 4, 5, 7]


def test_copy_whose_tier_was_not_copied_is_refused(original, filled, any_store, old, new, tmp_path):
    copy_folder(any_store, old / "wh", new / "wh")
    catalog = copy_catalog(tmp_path / "catalog.db", tmp_path / "copy.db")
    settings = placed(original, old, catalog)
    copy = settings.model_copy(update={"warehouse": str(new / "wh")})
    with pytest.raises(ConflictError, match=str(old / "cold")):
        relocate(copy, Kind.COPY, Vouched.OWN_CATALOG)


def test_relocation_of_what_is_in_place_changes_nothing(
    original, moved, filled, any_store, old, new
):
    relocation, _ = relocate(original)
    assert (relocation.tables, relocation.moved) == ((), [])
    move_folder(any_store, old, new)
    assert relocate(moved)[0].rewritten > 0
    before = listing(any_store, new)
    for again in Kind:
        relocation, _ = relocate(moved, again)
        assert (relocation.tables, relocation.moved, relocation.kind) == ((), [], Kind.MOVE)
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
    with unfit(moved) as corpus:
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
    relocate(moved, given={old / "hot": new / "elsewhere"})
    with open_corpus(moved) as corpus:
        assert state_of(corpus) == filled


def test_relocation_loses_to_a_run_that_published_meanwhile(
    moved, original, filled, any_store, old, new
):
    copy_folder(any_store, old, new)
    with unfit(moved) as corpus, open_corpus(original) as running:
        relocation = plan_relocation(corpus, destinations_of(moved))
        stage(corpus, relocation)
        put(running, original, [9], "hot")
        running.table("tokens").iceberg()
        pointers = corpus.pointers()
        with pytest.raises(ConflictError, match="meanwhile"):
            commit(corpus, relocation, {"a": "b"})
        assert corpus.pointers() == pointers


def test_relocation_killed_at_any_write_is_completed_by_another_try(
    moved, original, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    with unfit(moved) as corpus:
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
    made = {str(each.url) for each in any_store.find(new)} - before
    # No try has left anything that the next one did not write again.
    assert {url for url in made if "/metadata/" in url} <= names
    with open_corpus(moved) as corpus:
        assert state_of(corpus) == filled


def test_relocation_that_was_staged_and_given_up_leaves_the_old_place_usable(
    moved, original, filled, any_store, old, new
):
    move_folder(any_store, old, new)
    with unfit(moved) as corpus:
        stage(corpus, plan_relocation(corpus, destinations_of(moved)))
    move_folder(any_store, new, old)
    with open_corpus(original) as corpus:
        assert state_of(corpus) == filled
        collect(original)
        assert state_of(corpus) == filled
    drop_folder(any_store, new)
