"""Catalogs in PostgreSQL: the suite of catalogs, and several drivers at once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strata.errors import ConflictError, SettingsError, TransientError
from strata.settings import Settings
from strata.storage.cleanup.expiry import expire
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.servers.postgres import Postgres
from tests.support.suites.catalogs import CatalogTests

SECONDS = 120


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, postgres: Postgres) -> Settings:
    """A corpus in a database of its own, with two tiers."""
    update = {
        "catalog": {"uri": postgres.database()},
        "tiers": {name: {"url": str(tmp_path / name)} for name in ("hot", "cold")},
    }
    return Settings.model_validate(settings.model_dump() | update)


class TestPostgresCatalog(CatalogTests):
    pass


def start(role: str, settings: Settings, *numbers: int) -> subprocess.Popen[str]:
    """Start a driver process."""
    command = [
        sys.executable,
        "-m",
        "tests.support.processes.drivers",
        role,
        settings.model_dump_json(),
    ]
    return subprocess.Popen(
        [*command, *map(str, numbers)], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def test_drivers_at_once_lose_and_double_no_row(settings: Settings) -> None:
    commits = 8
    drivers = [start("ingest", settings, number * 1000, commits) for number in range(2)]
    drivers += [start("move", settings, 2 * 2 * commits) for _ in range(2)]
    ends = [driver.communicate(timeout=SECONDS)[1] for driver in drivers]

    # A mover may find that the other one has moved its file: told, and nothing moved twice.
    assert [driver.returncode for driver in drivers[:2]] == [0, 0], ends
    for driver, end in zip(drivers[2:], ends[2:], strict=True):
        assert driver.returncode == 0 or "ConcurrentChangeError" in end, end
    start("move", settings, 2 * 2 * commits).communicate(timeout=SECONDS)
    with open_corpus(settings) as corpus:
        expected = [1000 * who + number for who in range(2) for number in range(2 * commits)]
        assert ids_of(corpus) == expected
        files = corpus.table(TABLE).files()
        assert len({file.url for file in files}) == len(files) == 2 * commits
        assert all("/cold/" in file.url for file in files)
        appended = [s for s in corpus.table(TABLE).snapshots() if s.operation == "append"]
        assert len({s.content_key for s in appended}) == len(appended) == 2 * commits


def test_drivers_with_the_same_result_publish_it_once(settings: Settings) -> None:
    drivers = [start("ingest", settings, 0, 5) for _ in range(3)]
    ends = [driver.communicate(timeout=SECONDS)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], ends
    with open_corpus(settings) as corpus:
        assert ids_of(corpus) == list(range(10))


# PyIceberg drops the half-made catalog of the one who comes second, with its open connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_drivers_that_make_a_catalog_at_once_all_open_it(
    settings: Settings, postgres: Postgres
) -> None:
    for number in range(4):
        place = {"warehouse": f"{settings.warehouse}-{number}"}
        new = settings.model_copy(update={"catalog": {"uri": postgres.database()}} | place)

        def first_use(_: int, new: Settings = new) -> str:
            with open_corpus(new) as corpus:
                return corpus.table(TABLE).iceberg().metadata_location

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(first_use, range(6)))) == 1
    gc.collect()


def append(settings: Settings, number: int) -> Callable[[], int | None]:
    """A publish that can be made again."""

    def publish_again() -> int | None:
        with open_corpus(settings) as corpus:
            return publish(
                corpus.table(TABLE),
                write(corpus, settings, "hot", [number]),
                mode=PublishMode.APPEND,
                content_key=str(number),
                run_id="r",
            )

    return publish_again


def test_server_restarted_between_commits_is_not_noticed(
    settings: Settings, postgres: Postgres
) -> None:
    with open_corpus(settings) as corpus:
        append(settings, 1)()
        postgres.server.down()
        with pytest.raises(TransientError, match="did not answer"):
            corpus.table(TABLE).files()
        with pytest.raises(TransientError, match="did not answer"):
            append(settings, 2)()
        postgres.server.up()
        # The same corpus goes on: its dead connections are replaced.
        assert ids_of(corpus) == [1]
        append(settings, 2)()
        assert ids_of(corpus) == [1, 2]


@pytest.mark.parametrize("moment", ["before the swap", "after the swap"])
def test_server_gone_in_a_commit_publishes_once(
    settings: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    append(settings, 1)()
    swap = SqlCatalog.commit_table

    def interrupted(self: SqlCatalog, *arguments: object) -> object:
        done = swap(self, *arguments) if moment == "after the swap" else None
        postgres.server.down()
        return swap(self, *arguments) if done is None else _lost()

    def _lost() -> object:
        from sqlalchemy.exc import OperationalError

        raise OperationalError("COMMIT", {}, Exception("the connection was lost"))

    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    with pytest.raises(TransientError, match="did not answer"):
        append(settings, 2)()
    monkeypatch.undo()
    postgres.server.up()

    again = append(settings, 2)()

    assert (again is None) is (moment == "after the swap")
    with open_corpus(settings) as corpus:
        assert ids_of(corpus) == [1, 2]
        assert [s.content_key for s in corpus.table(TABLE).snapshots()] == ["1", "2"]


def test_expiry_beside_ingest_keeps_every_row(settings: Settings) -> None:
    driver = start("ingest", settings, 0, 12)
    with open_corpus(settings) as corpus:
        while driver.poll() is None:
            try:
                expire(corpus.table(TABLE), datetime.now(UTC) + timedelta(hours=1))
            except ConflictError:
                continue
        end = driver.communicate()[1]
        assert driver.returncode == 0, end
        assert ids_of(corpus) == list(range(24))


def test_password_that_is_wrong_or_missing_is_told_without_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with pytest.raises(SettingsError, match="PGPASSWORD") as caught:
        open_corpus(settings)
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(SettingsError, match="no password supplied"):
        open_corpus(settings)


def test_database_that_is_not_there_is_told(settings: Settings) -> None:
    uri = settings.catalog["uri"] + "x"
    with pytest.raises(SettingsError, match=r"does not exist"):
        open_corpus(settings.model_copy(update={"catalog": {"uri": uri}}))
