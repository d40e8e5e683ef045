"""The doctor tells where catalog, warehouse and tiers do not belong together."""

import shutil
from pathlib import Path

import pytest

from strata.jobs.doctor.places import check_places
from strata.storage.layout.properties import CORPUS_HOME, CORPUS_ID
from strata.storage.tables.catalog import look_at
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.places import IDENTITY_FILE
from tests.support.corpora.clusters import put
from tests.support.processes.drivers import write


@pytest.fixture
def settings(settings, tmp_path):
    tiers = {"hot": {"url": str(tmp_path / "hot")}}
    return settings.model_validate(settings.model_dump() | {"tiers": tiers})


@pytest.fixture
def filled(settings):
    with open_to_write(settings) as corpus:
        put(corpus.table("clusters"), write(corpus, settings, "hot", [1]), "a")
    return settings


@pytest.fixture
def copied(filled, tmp_path):
    shutil.copytree(filled.warehouse, tmp_path / "second")
    return filled.model_copy(update={"warehouse": str(tmp_path / "second")})


def test_places_of_a_sound_corpus_are_well(filled):
    checks = check_places(filled)
    assert [check.name for check in checks] == ["tier warehouse", "tier hot", "catalog"]
    assert all(check.ok for check in checks)


def test_places_copied_warehouse_is_told_with_its_remedy(copied, filled):
    (check,) = check_places(copied)
    assert not check.ok
    assert f"a copy of file://{filled.warehouse}/web" in check.detail
    assert "strata storage relocate" in check.remedy


def test_places_catalog_that_points_to_another_warehouse_is_told(copied, filled):
    """A corpus of a version without identities: only the tables themselves show it."""
    for folder in (copied.warehouse, filled.warehouse):
        (Path(folder) / "web" / IDENTITY_FILE).unlink()
    (Path(filled.tiers["hot"].url) / "web" / IDENTITY_FILE).unlink()
    look = look_at(copied)
    given = look.catalog.load_namespace_properties("web")
    removals = {name for name in given if name != "exists"}
    assert {CORPUS_HOME, CORPUS_ID} < removals
    look.catalog.update_namespace_properties("web", removals=removals, updates={"exists": "true"})
    look.close()
    *tiers, catalog = check_places(copied)
    assert all(check.ok for check in tiers)
    assert not catalog.ok
    assert f"outside of the warehouse file://{copied.warehouse}" in catalog.detail
    assert "strata storage relocate" in catalog.remedy


def test_places_lost_mount_is_told_and_nothing_is_made(filled):
    shutil.move(filled.warehouse, f"{filled.warehouse}-away")
    (check,) = check_places(filled)
    assert "the catalog does not know" in check.detail
    assert not Path(filled.warehouse).exists()
