"""What a run publishes is on the disk before the catalog refers to it."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from strata.storage.integrity.verify import VerifyLevel, verify
from tests.support.corpora.complete import run_all, write_records
from tests.support.corpora.retracted import Project, families
from tests.support.faults.power_cut import PowerCut

EXTRA, FULL = 3, 2


@pytest.fixture
def power(monkeypatch):
    return PowerCut(monkeypatch)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, families(number=6))
    write_records(project.folder / "in", project.files)
    return project


def context_of(project, **sections):
    cold = {"url": str(project.folder / "cold/deep"), "level": 9}
    return project.context(tiers={"cold": cold}, tables={"clean": "cold"}, **sections)


@contextmanager
def at_commits(look):
    """Call a function with the catalog's connection before each of its commits."""
    event.listen(Engine, "commit", look)
    yield
    event.remove(Engine, "commit", look)


def test_run_syncs_all_files_and_folders_before_each_commit(project, power):
    context = context_of(project)
    places = [project.folder / "wh/web", project.folder / "cold/deep/web"]
    lost = []

    def look(_):
        lost.append([power.lost(each) for each in places if each.exists()])

    with at_commits(look):
        run_all(context)

    assert len(lost) > 8
    assert {str(path) for some in lost for paths in some for path in paths} == set()
    assert all(list(each.rglob("*.parquet")) for each in places)


def test_run_with_a_power_cut_afterwards_loses_nothing(project, power):
    context = context_of(project)
    run_all(context)

    power.happen(project.folder / "wh/web")
    power.happen(project.folder / "cold")

    assert verify(context.corpus, context.store, VerifyLevel.FULL).findings == []
    assert all(context.corpus.table(name).files() for name in ("documents", "clean", "tokens"))


def test_run_that_leaves_it_to_the_system_syncs_nothing(project, power):
    context = context_of(project, transfer={"sync": False})
    run_all(context)

    assert power.calls == 0
    assert power.lost(project.folder / "wh/web")


def test_staging_folder_is_not_synced(project, power):
    context = context_of(project)
    url, before = context.staging / "rows.parquet", power.calls

    context.store.write_bytes(url, b"rows")

    assert power.calls == before
    assert Path(url.path).read_bytes() == b"rows"


@pytest.mark.usefixtures("synced_catalogs")
@pytest.mark.parametrize(("sync", "level"), [(True, EXTRA), (False, FULL)])
def test_sqlite_catalog_syncs_its_folder_too(project, sync, level):
    levels = set()

    def look(connection):
        levels.add(connection.exec_driver_sql("PRAGMA synchronous").scalar())

    context = context_of(project, transfer={"sync": sync})
    with at_commits(look):
        context.corpus.table("documents").iceberg()

    assert levels == {level}
