"""Whose a corpus is after its folders were moved or copied."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from strata.errors import ConflictError, IdentityError
from strata.storage.contracts.url import Url
from strata.storage.lifecycle.journal import MovedFile, MoveJournal, moves_folder
from strata.storage.relocation.destinations import Kind
from strata.storage.relocation.vouched import Vouched
from strata.storage.tables.catalog import look_at, open_corpus
from strata.storage.tables.catalog_entry import entry_properties
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.places import IDENTITY_FILE
from strata.storage.tables.publish import PublishMode, publish
from tests.support.corpora.relocated import Killed, collect, relocate
from tests.support.processes.drivers import TABLE, ids_of, write


@pytest.fixture
def original(settings, tmp_path):
    return at(settings, tmp_path / "old")


def at(settings, folder, **more):
    update = {
        "warehouse": str(folder / "wh"),
        "tiers": {name: {"url": str(folder / name)} for name in ("hot", "cold")},
    }
    return settings.model_validate(settings.model_dump() | update | more)


def put(settings, *ids):
    with open_to_write(settings) as corpus:
        files = write(corpus, settings, "hot", list(ids))
        publish(
            corpus.table(TABLE), files, mode=PublishMode.APPEND, content_key=str(ids), run_id="r"
        )
        corpus.write_marks()
        return corpus.id


@pytest.fixture
def filled(original):
    """The identity of the filled corpus."""
    return put(original, 1, 2)


@pytest.fixture
def copy(original, filled, tmp_path):
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    return at(original, tmp_path / "new")


@pytest.fixture
def moved(original, filled, tmp_path):
    (tmp_path / "old").rename(tmp_path / "new")
    return at(original, tmp_path / "new")


def files(folder: Path):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(settings):
    with open_corpus(settings) as corpus:
        return corpus.id, ids_of(corpus)


def test_moved_corpus_keeps_its_identity_and_works_on(moved, filled, tmp_path):
    with pytest.raises(IdentityError, match="relocate"):
        open_corpus(moved)
    relocate(moved)
    assert read(moved) == (filled, [1, 2])
    put(moved, 3)
    collect(moved)
    assert read(moved) == (filled, [1, 2, 3])
    assert not (tmp_path / "old").exists()
    relocation, handover = relocate(moved)
    assert (relocation.tables, handover.changes) == ((), False)


def test_moved_back_corpus_is_relocated_again(moved, original, filled, tmp_path):
    relocate(moved)
    (tmp_path / "new").rename(tmp_path / "old")
    relocate(original)
    put(original, 3)
    assert read(original) == (filled, [1, 2, 3])


@pytest.mark.parametrize("name", ["hot", "cold", "wh"])
def test_move_of_one_place_keeps_the_identity(original, filled, tmp_path, name):
    (tmp_path / "old" / name).rename(tmp_path / name)
    given = {each: tmp_path / ("old" if each != name else ".") / each for each in ("hot", "cold")}
    warehouse = tmp_path / ("old/wh" if name != "wh" else "wh")
    settings = at(
        original,
        tmp_path / "old",
        warehouse=str(warehouse),
        tiers={each: {"url": str(url)} for each, url in given.items()},
    )
    with pytest.raises(IdentityError):
        open_corpus(settings)
    relocate(settings)
    put(settings, 3)
    assert read(settings) == (filled, [1, 2, 3])


def test_move_is_refused_while_the_old_place_says_that_it_is_the_corpus(
    copy, original, filled, tmp_path
):
    before = files(tmp_path)
    with pytest.raises(ConflictError, match="still is in") as told:
        relocate(copy)
    assert "--as-copy" in told.value.hint
    assert files(tmp_path) == before
    for name in ("wh", "hot", "cold"):
        (tmp_path / "old" / name / "web" / IDENTITY_FILE).unlink()
    relocate(copy)
    assert read(copy) == (filled, [1, 2])


def test_copy_gets_an_identity_of_its_own_and_leaves_the_original_alone(
    copy, original, filled, tmp_path
):
    before = files(tmp_path / "old")
    relocate(copy, Kind.COPY)
    identity, ids = read(copy)
    assert ids == [1, 2]
    assert identity not in ("", filled)
    put(copy, 3)
    collect(copy)
    assert files(tmp_path / "old") == before
    put(original, 4)
    collect(original)
    assert read(original) == (filled, [1, 2, 4])
    assert read(copy) == (identity, [1, 2, 3])
    relocation, handover = relocate(copy, Kind.COPY)
    assert (relocation.tables, handover.changes, handover.corpus_id) == ((), False, identity)


@pytest.mark.parametrize("how", ["tier", "link", "catalog", "hard link", "unused tier"])
def test_copy_that_shares_something_with_its_original_is_refused(copy, filled, tmp_path, how):
    old, new, changed = tmp_path / "old", tmp_path / "new", copy
    if how == "tier":
        changed = at(copy, new, tiers={"hot": {"url": str(old / "hot")}})
    elif how == "unused tier":
        tiers = {"hot": {"url": str(new / "hot")}, "cold": {"url": str(old / "cold")}}
        changed = at(copy, new, tiers=tiers)
    elif how == "link":
        shutil.rmtree(new)
        new.symlink_to(old)
    elif how == "catalog":
        changed = at(copy, new, catalog={"uri": f"sqlite:///{old}/wh/catalog.db"})
    else:
        (new / "wh/catalog.db").unlink()
        (new / "wh/catalog.db").hardlink_to(old / "wh/catalog.db")
    before = files(tmp_path)
    with pytest.raises(ConflictError):
        relocate(changed, Kind.COPY)
    assert files(tmp_path) == before


def test_copy_with_a_catalog_elsewhere_needs_the_word_of_the_user(copy, filled, tmp_path):
    elsewhere = tmp_path / "copy.db"
    (tmp_path / "new/wh/catalog.db").rename(elsewhere)
    settings = at(copy, tmp_path / "new", catalog={"uri": f"sqlite:///{elsewhere}"})
    with pytest.raises(ConflictError) as told:
        relocate(settings, Kind.COPY)
    assert "--own-catalog" in told.value.hint
    relocate(settings, Kind.COPY, Vouched.OWN_CATALOG)
    assert read(settings)[1] == [1, 2]


@pytest.mark.parametrize("kind", Kind)
def test_relocation_killed_at_any_write_is_completed_by_the_same_command(
    original, filled, tmp_path, kind
):
    old, new = tmp_path / "old", tmp_path / "new"
    attempts = 0
    for writes in range(100):
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(old, new)
        if kind is Kind.MOVE:
            shutil.copytree(old, tmp_path / "kept")
            shutil.rmtree(old)
        settings = at(original, new)
        try:
            relocate(settings, kind, writes=writes)
        except Killed:
            attempts += 1
            relocate(settings, kind)
        else:
            break
        finally:
            if kind is Kind.MOVE:
                (tmp_path / "kept").rename(old)
        put(settings, 3)
        identity, ids = read(settings)
        assert (ids, identity == filled) == ([1, 2, 3], kind is Kind.MOVE)
    # Metadata of the table, then identity files and marks.
    assert attempts >= 6


def test_killed_move_that_is_given_up_leaves_all_as_it_was(moved, original, filled, tmp_path):
    with pytest.raises(Killed):
        relocate(moved, writes=2)
    (tmp_path / "new").rename(tmp_path / "old")
    put(original, 3)
    collect(original)
    assert read(original) == (filled, [1, 2, 3])


def test_journal_of_moves_names_the_new_places(store, moved, tmp_path):
    old, new = (
        [f"file://{tmp_path}/{name}/{tier}/web/clusters/data" for tier in ("hot", "cold")]
        for name in ("old", "new")
    )
    journal = MoveJournal(store, moves_folder(Url.parse(moved.warehouse), "web"))
    intent = journal.begin("r", TABLE, "cold", Url.parse(old[1]), [f"{old[0]}/a"])
    journal.copied(intent, [MovedFile(f"{old[0]}/a", f"{old[1]}/b")])
    relocate(moved)
    (intent,), (copied,) = journal.intents(), journal.all_copied()
    assert (intent.folder, intent.files) == (new[1], (f"{new[0]}/a",))
    assert copied.files == (MovedFile(f"{new[0]}/a", f"{new[1]}/b"),)


@pytest.mark.parametrize("kind", Kind)
def test_corpus_of_an_older_version_is_relocated_and_gets_an_identity(
    original, filled, tmp_path, kind
):
    settings = at(original, tmp_path / "new")
    for file in (tmp_path / "old").rglob("_*.json"):
        file.unlink()
    with closing(look_at(original)) as look:
        entry = look.membership.entry
        folders = [Url.parse(each) for each in entry.folders]
        known = entry_properties(entry.id, folders[0], folders)
        look.corpus().switch_pointers([], dict.fromkeys(known))
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    if kind is Kind.MOVE:
        with pytest.raises(ConflictError, match="still is in"):
            relocate(settings)
        shutil.rmtree(tmp_path / "old")
    relocate(settings, kind)
    put(settings, 3)
    identity, ids = read(settings)
    assert (bool(identity), ids) == (True, [1, 2, 3])
    if kind is Kind.COPY:
        assert put(original, 4) != identity


@pytest.mark.parametrize("marked", [True, False])
def test_relocation_from_an_older_catalog_is_refused(original, filled, tmp_path, marked):
    catalog = tmp_path / "old/wh/catalog.db"
    older = catalog.read_bytes()
    put(original, 3)
    put(original, 4)
    catalog.write_bytes(older)
    (tmp_path / "old").rename(tmp_path / "new")
    if not marked:
        (tmp_path / "new/wh/web/_state.json").unlink()
    with pytest.raises(IdentityError, match="the catalog has"):
        relocate(at(original, tmp_path / "new"))


def test_place_of_another_corpus_is_not_relocated_to(moved, original, tmp_path):
    other = at(original, tmp_path / "other")
    put(other, 7)
    mixed = at(moved, tmp_path / "new", tiers={"hot": {"url": str(tmp_path / "other/hot")}})
    shutil.copytree(
        tmp_path / "new/hot/web/clusters", tmp_path / "other/hot/web/clusters", dirs_exist_ok=True
    )
    shutil.rmtree(tmp_path / "new/hot")
    with pytest.raises(ConflictError, match="files of corpus web"):
        relocate(mixed)
    assert read(other)[1] == [7]
