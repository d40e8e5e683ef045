"""A corpus is opened only where catalog, warehouse and tiers belong together; nothing is lost."""

import shutil
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from strata.errors import IdentityError, MachineError
from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import PREFIX
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.adopt import adopt, plan_adoption
from strata.storage.tables.catalog import look_at, open_corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.places import IDENTITY_FILE, STATE_FILE, places_of
from strata.storage.tables.publish import PublishMode
from strata.storage.tables.rebuild import plan_rebuild, rebuild_catalog
from strata.storage.tables.tags import tag_corpus
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.clusters import later, put
from tests.support.processes.drivers import ids_of, write

NO_GRACE = timedelta(0)
OVERWRITE = PublishMode.OVERWRITE


@pytest.fixture
def settings(settings, tmp_path):
    tiers = {name: {"url": str(tmp_path / name)} for name in ("hot", "cold")}
    return settings.model_validate(settings.model_dump() | {"tiers": tiers})


@pytest.fixture
def warehouse(settings):
    return Path(settings.warehouse)


def fill(settings, *ids, key="a", mode=PublishMode.APPEND):
    """Publish documents, one file in each tier, as a command that ends well."""
    with open_to_write(settings) as corpus:
        files = [file for tier in ("hot", "cold") for file in write(corpus, settings, tier, ids)]
        put(corpus.table("clusters"), files[:1], key, mode)
        corpus.load_tables()
        corpus.write_marks()


def garbage(settings):
    with open_to_write(settings) as corpus:
        return find_orphans(corpus, tiers_of(settings).values(), NO_GRACE)


def rows(settings):
    with open_corpus(settings) as corpus:
        return sorted(ids_of(corpus))


def files_below(*folders):
    return sorted(str(file) for folder in folders for file in folder.rglob("*") if file.is_file())


def changed(settings, **values):
    return settings.model_validate(settings.model_dump() | values)


def unclaimed(settings):
    """Make a corpus look like one of a version without identities."""
    for place in places_of(settings):
        for name in (IDENTITY_FILE, STATE_FILE):
            Path((place.folder / name).path).unlink(missing_ok=True)
    with closing(look_at(settings)) as look:
        given = look.catalog.load_namespace_properties("web")
        ours = {name for name in given if name.startswith(PREFIX)}
        look.catalog.update_namespace_properties("web", removals=ours, updates={"exists": "true"})


def refused(settings, match):
    """Every way to open the corpus is refused, and nothing was made by trying."""
    for way in (open_corpus, open_to_write):
        with pytest.raises(IdentityError, match=match) as caught:
            way(settings)
        assert caught.value.exit_code == 4
        assert "strata storage" in caught.value.hint
    return caught.value


def test_identity_is_in_the_catalog_and_in_every_place_and_stays(settings):
    fill(settings, 1)
    with open_corpus(settings) as corpus:
        first = corpus.id
        assert {record.id for record in corpus.membership.files.records.values()} == {first}
        assert len(corpus.membership.files.records) == 3
        assert corpus.membership.files.marks.tables.keys() == {"clusters"}
    fill(settings, 2, key="b")
    with open_corpus(settings) as corpus:
        assert (corpus.id, sorted(ids_of(corpus))) == (first, [1, 2])


def test_identity_costs_one_read_for_each_place_and_no_write_once_given(settings, monkeypatch):
    fill(settings, 1)
    asked, read = [], FsspecStore.read_bytes

    def counted(store, url):
        asked.append(url.name)
        return read(store, url)

    monkeypatch.setattr(FsspecStore, "read_bytes", counted)
    monkeypatch.setattr(FsspecStore, "create", None)
    monkeypatch.setattr(FsspecStore, "find", None)
    open_to_write(settings).close()
    assert sorted(asked) == [IDENTITY_FILE] * 3 + [STATE_FILE]


def test_identity_lost_mount_of_the_warehouse_is_refused_and_nothing_is_made(settings, warehouse):
    fill(settings, 1)
    away = warehouse.with_name("away")
    warehouse.rename(away)
    error = refused(settings, "which the catalog does not know")
    assert "cold/web, file" in error.reason
    assert "hot/web: files" in error.reason
    assert not warehouse.exists()
    away.rename(warehouse)
    assert rows(settings) == [1]


def test_identity_empty_mount_point_of_the_warehouse_is_refused(settings, warehouse):
    fill(settings, 1)
    away = warehouse.with_name("away")
    warehouse.rename(away)
    warehouse.mkdir()
    refused(settings, "which the catalog does not know")
    assert files_below(warehouse) == []


def test_identity_lost_mount_of_a_tier_is_refused(settings, tmp_path):
    fill(settings, 1)
    (tmp_path / "hot").rename(tmp_path / "away")
    refused(settings, "hot/web: no files of corpus web any more")
    assert not (tmp_path / "hot").exists()


def test_identity_lost_mount_of_a_warehouse_whose_catalog_is_elsewhere_is_refused(
    settings, warehouse, tmp_path
):
    served = changed(settings, catalog={"uri": f"sqlite:///{tmp_path}/served.db"})
    fill(served, 1)
    warehouse.rename(warehouse.with_name("away"))
    refused(served, "warehouse/web: no files of corpus web any more")
    assert not warehouse.exists()


def test_identity_lost_catalog_is_refused_and_rebuilt(settings, warehouse):
    fill(settings, 1)
    fill(settings, 2, key="b")
    with open_to_write(settings) as corpus:
        tag_corpus(corpus, "v1")
    fill(settings, 3, key="c", mode=OVERWRITE)
    with open_corpus(settings) as corpus:
        first = corpus.id
    before = files_below(warehouse / "web", warehouse.parent / "hot", warehouse.parent / "cold")
    (warehouse / "catalog.db").unlink()
    refused(settings, "which the catalog does not know")
    assert not (warehouse / "catalog.db").exists()
    with closing(look_at(settings)) as look:
        (plan,) = plan_rebuild(look)
        assert (plan.table, plan.known, plan.tags, plan.rows) == ("clusters", "", ("v1",), 1)
        rebuild_catalog(look, [plan]).close()
    with open_corpus(settings) as corpus:
        assert (corpus.id, ids_of(corpus)) == (first, [3])
        assert corpus.table("clusters").tags().keys() == {"v1"}
    assert not {str(file.url) for file in garbage(settings)} & {
        str(Url.parse(file.location.path)) for file in tagged(settings, "v1")
    }
    assert before == files_below(
        warehouse / "web", warehouse.parent / "hot", warehouse.parent / "cold"
    )
    # Twice is once.
    with closing(look_at(settings)) as look:
        assert [each.is_behind for each in plan_rebuild(look)] == [False]


def tagged(settings, tag):
    with open_corpus(settings) as corpus:
        return corpus.table("clusters").files_of_ref(tag)


def test_identity_older_catalog_is_refused_and_brought_forward(settings, warehouse, tmp_path):
    fill(settings, 1)
    shutil.copy(warehouse / "catalog.db", tmp_path / "backup.db")
    fill(settings, 2, key="b")
    shutil.copy(tmp_path / "backup.db", warehouse / "catalog.db")
    with (
        open_corpus(settings) as corpus,
        pytest.raises(IdentityError, match="clusters: the catalog has 0"),
    ):
        corpus.table("clusters").files()
    with open_to_write(settings) as corpus, pytest.raises(IdentityError, match="the catalog has"):
        find_orphans(corpus, tiers_of(settings).values(), NO_GRACE)
    with closing(look_at(settings)) as look:
        plan = plan_rebuild(look)
        rebuild_catalog(look, plan).close()
    assert rows(settings) == [1, 2]


def test_identity_older_catalog_from_before_a_table_is_refused(settings, warehouse, tmp_path):
    open_to_write(settings).close()
    shutil.copy(warehouse / "catalog.db", tmp_path / "backup.db")
    fill(settings, 1)
    shutil.copy(tmp_path / "backup.db", warehouse / "catalog.db")
    with open_corpus(settings) as corpus, pytest.raises(IdentityError, match="lacks clusters"):
        corpus.table("clusters").files()


def test_identity_gc_beside_an_older_catalog_leaves_what_newer_metadata_refer_to(
    settings, warehouse, tmp_path
):
    """Also where the marks are lost, or a run was killed before it wrote them."""
    fill(settings, 1)
    shutil.copy(warehouse / "catalog.db", tmp_path / "backup.db")
    fill(settings, 2, key="b")
    newest = {file.url for file in published(settings)}
    shutil.copy(tmp_path / "backup.db", warehouse / "catalog.db")
    (warehouse / "web" / STATE_FILE).unlink()
    found = {str(file.url) for file in garbage(settings)}
    assert not found & newest


def published(settings):
    with open_corpus(settings) as corpus:
        return corpus.table("clusters").files()


def test_identity_two_warehouses_that_share_a_tier_are_kept_apart(settings, tmp_path):
    fill(settings, 1)
    second = changed(settings, warehouse=str(tmp_path / "second"))
    error = refused(second, "hot/web: files of corpus web")
    assert str(settings.warehouse) in error.reason
    assert not (tmp_path / "second").exists()
    other = changed(second, corpus="other")
    with open_to_write(other) as corpus:
        put(corpus.table("clusters"), write(corpus, other, "hot", [5]), "x")
        assert ids_of(corpus) == [5]
    assert rows(settings) == [1]


def test_identity_two_corpora_of_one_warehouse_work(settings):
    other = changed(settings, corpus="other")
    fill(settings, 1)
    fill(other, 2)
    assert (rows(settings), rows(other)) == ([1], [2])
    with open_corpus(settings) as corpus:
        assert corpus.sibling("other").id != corpus.id
    for one in (settings, other):
        lost = {file.url.rest.split("/")[-4] for file in garbage(one)}
        assert lost == {one.corpus}


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_identity_copied_or_renamed_warehouse_is_refused(settings, warehouse, how, tmp_path):
    fill(settings, 1)
    how(warehouse, tmp_path / "second")
    second = changed(settings, warehouse=str(tmp_path / "second"))
    before = files_below(tmp_path)
    error = refused(second, f"a copy of file://{warehouse}/web")
    assert "strata storage relocate" in error.hint
    assert files_below(tmp_path) == before


def test_identity_copied_warehouse_of_an_older_version_is_refused(settings, warehouse, tmp_path):
    fill(settings, 1)
    unclaimed(settings)
    shutil.copytree(warehouse, tmp_path / "second")
    second = changed(settings, warehouse=str(tmp_path / "second"))
    with pytest.raises(IdentityError, match="outside of the warehouse"):
        open_to_write(second)
    with open_corpus(second) as corpus, pytest.raises(IdentityError, match="outside of"):
        corpus.table("clusters").files()


def test_identity_warehouse_under_another_name_of_the_disk_is_the_same(settings, tmp_path):
    fill(settings, 1)
    (tmp_path / "linked").symlink_to(settings.warehouse)
    linked = changed(settings, warehouse=str(tmp_path / "linked"))
    assert rows(linked) == [1]


def test_identity_catalog_of_another_warehouse_is_refused(settings, tmp_path):
    served = changed(settings, catalog={"uri": f"sqlite:///{tmp_path}/served.db"}, tiers={})
    with open_to_write(served) as corpus:
        put(corpus.table("clusters"), write(corpus, served, "warehouse", [1]), "a")
    refused(
        changed(served, warehouse=str(tmp_path / "second")),
        "the catalog is that of file",
    )


def test_identity_corpus_of_an_older_version_is_adopted_in_silence(settings):
    fill(settings, 1)
    unclaimed(settings)
    assert rows(settings) == [1]
    fill(settings, 2, key="b")
    assert rows(settings) == [1, 2]
    with open_corpus(settings) as corpus:
        assert corpus.id
        assert len(corpus.membership.files.records) == 3


def test_identity_files_from_before_it_that_nothing_refers_to_are_never_garbage(settings):
    """They may be those of another corpus of an older version in the same tier."""
    fill(settings, 1)
    with open_to_write(settings) as corpus:
        (stranger,) = write(corpus, settings, "hot", [7])
    unclaimed(settings)
    fill(settings, 2, key="b", mode=OVERWRITE)
    with open_to_write(settings) as corpus:
        expire(corpus.table("clusters"), later())
    found = {str(file.url) for file in garbage(settings)}
    assert stranger.url not in found
    # What the tables knew is known to be theirs.
    assert any("hot/web/clusters/data" in url for url in found)
    with closing(look_at(settings)) as look:
        adopt(look).close()
    assert stranger.url in {str(file.url) for file in garbage(settings)}


def test_identity_lost_catalog_of_an_older_version_is_refused_and_rebuilt(settings, warehouse):
    fill(settings, 1)
    unclaimed(settings)
    (warehouse / "catalog.db").unlink()
    refused(settings, "the catalog refers to none of them")
    assert not (warehouse / "catalog.db").exists()
    with closing(look_at(settings)) as look:
        rebuild_catalog(look, plan_rebuild(look)).close()
    assert rows(settings) == [1]


def test_identity_older_catalog_of_an_older_version_is_refused(settings, warehouse, tmp_path):
    fill(settings, 1)
    unclaimed(settings)
    shutil.copy(warehouse / "catalog.db", tmp_path / "backup.db")
    fill(settings, 2, key="b")
    fill(settings, 3, key="c")
    unclaimed(settings)
    shutil.copy(tmp_path / "backup.db", warehouse / "catalog.db")
    with pytest.raises(IdentityError, match="the catalog has 0"):
        open_to_write(settings)


def test_identity_new_tier_with_files_of_a_corpus_is_refused(settings, tmp_path):
    fill(settings, 1)
    shutil.copytree(tmp_path / "cold", tmp_path / "third")
    (tmp_path / "third" / "web" / IDENTITY_FILE).unlink()
    tiers = settings.model_dump()["tiers"] | {"third": {"url": str(tmp_path / "third")}}
    more = changed(settings, tiers=tiers)
    with pytest.raises(IdentityError, match="third/web: 1 file"):
        open_to_write(more)
    shutil.rmtree(tmp_path / "third" / "web")
    open_to_write(more).close()
    assert (tmp_path / "third" / "web" / IDENTITY_FILE).exists()


def test_adopt_gives_up_a_lost_tier_and_takes_a_strange_one_after_a_look(settings, tmp_path):
    fill(settings, 1)
    shutil.rmtree(tmp_path / "cold")
    refused(settings, "cold/web: no files")
    with closing(look_at(settings)) as look:
        found = {place.tier: place for place in plan_adoption(look)}
        assert (found["cold"].files, found["cold"].owner) == (0, "")
        assert (found["hot"].files, found["hot"].unreferenced) == (1, 0)
        assert found["hot"].owner.startswith("web ")
        adopt(look).close()
    assert rows(settings) == [1]


def test_adopt_makes_an_older_catalog_count(settings, warehouse, tmp_path):
    fill(settings, 1)
    shutil.copy(warehouse / "catalog.db", tmp_path / "backup.db")
    fill(settings, 2, key="b")
    shutil.copy(tmp_path / "backup.db", warehouse / "catalog.db")
    with closing(look_at(settings)) as look:
        adopt(look).close()
    assert rows(settings) == [1]


def test_adopt_of_a_copy_is_refused(settings, warehouse, tmp_path):
    fill(settings, 1)
    shutil.copytree(warehouse, tmp_path / "second")
    second = changed(settings, warehouse=str(tmp_path / "second"))
    with closing(look_at(second)) as look, pytest.raises(IdentityError, match="outside of"):
        adopt(look)


def test_rebuild_of_a_copy_and_beside_tiers_of_another_corpus_is_refused(settings, tmp_path):
    fill(settings, 1)
    shutil.copytree(settings.warehouse, tmp_path / "second")
    (tmp_path / "second" / "catalog.db").unlink()
    second = changed(settings, warehouse=str(tmp_path / "second"))
    with closing(look_at(second)) as look, pytest.raises(IdentityError, match="outside of"):
        plan_rebuild(look)
    third = changed(settings, warehouse=str(tmp_path / "third"))
    with closing(look_at(third)) as look, pytest.raises(IdentityError, match="is not that corpus'"):
        plan_rebuild(look)


def test_rebuild_takes_the_recorded_one_of_two_newest_metadata_files(settings, warehouse):
    fill(settings, 1)
    with open_corpus(settings) as corpus:
        newest = Path(Url.parse(corpus.table("clusters").iceberg().metadata_location).path)
    loser = newest.with_name(f"{newest.name.partition('-')[0]}-0.metadata.json")
    shutil.copy(newest, loser)
    loser.write_text(loser.read_text().replace('"last-updated-ms":1', '"last-updated-ms":9'))
    (warehouse / "catalog.db").unlink()
    with closing(look_at(settings)) as look:
        (plan,) = plan_rebuild(look)
        assert plan.metadata.name == newest.name


def test_gc_of_places_that_do_not_carry_the_identity_is_refused(settings):
    fill(settings, 1)
    unclaimed(settings)
    with open_corpus(settings) as corpus, pytest.raises(IdentityError, match="does not carry"):
        find_orphans(corpus, tiers_of(settings).values(), NO_GRACE)


def test_identity_files_are_never_collected(settings):
    fill(settings, 1)
    with open_to_write(settings) as corpus:
        orphans = find_orphans(corpus, tiers_of(settings).values(), NO_GRACE)
        collect_garbage(corpus.store, orphans)
    assert rows(settings) == [1]


def test_identity_damaged_file_is_told(settings, tmp_path):
    fill(settings, 1)
    (tmp_path / "hot" / "web" / IDENTITY_FILE).write_text("{")
    with pytest.raises(IdentityError, match="is damaged"):
        open_corpus(settings)


def test_tier_whose_store_does_not_answer_keeps_nobody_from_reading_the_others(settings, tmp_path):
    fill(settings, 1, 2)
    (tmp_path / "cold").rename(tmp_path / "away")
    # As a mount that gives errors, which is not the same as one with nothing in it.
    (tmp_path / "cold").touch()
    assert rows(settings) == [1, 2]
    for way in (open_to_write, look_at):
        with pytest.raises(MachineError, match="cold"):
            way(settings)
    (tmp_path / "cold").unlink()
    refused(settings, "no files of corpus web any more")
    (tmp_path / "away").rename(tmp_path / "cold")
    fill(settings, 3, key="b")
    assert rows(settings) == [1, 2, 3]


def test_corpus_that_is_being_made_is_looked_at_again(settings, tmp_path):
    fill(settings, 1, 2)
    (tmp_path / "cold").rename(tmp_path / "away")
    later = threading.Timer(0.3, (tmp_path / "away").rename, [tmp_path / "cold"])
    later.start()
    assert rows(settings) == [1, 2]
    later.join()
