"""What a table keeps, wherever it and its files lie; lanes give it the stores that they have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from strata.settings import Settings
from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.url import Url
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tier_files import files_in
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.rows import ids_by_pyiceberg

NO_GRACE = timedelta(0)


class TableTests:
    """The warehouse and both tiers are in ``any_folder``; the catalog is local."""

    @pytest.fixture
    def remote(
        self,
        settings: Settings,
        any_folder: Url,
        any_options: dict[str, dict[str, Any]],
        tmp_path: Path,
    ) -> Settings:
        update = {
            "warehouse": str(any_folder / "wh"),
            "catalog": {"uri": f"sqlite:///{tmp_path}/catalog.db?timeout=60"},
            "storage_options": any_options,
            "tiers": {name: {"url": str(any_folder / name)} for name in ("hot", "cold")},
        }
        return Settings.model_validate(settings.model_dump() | update)

    @pytest.fixture
    def corpus(self, remote: Settings) -> Any:
        with open_to_write(remote) as corpus:
            yield corpus

    def put(
        self, corpus: Corpus, settings: Settings, ids: list[int], mode: PublishMode, tier: str
    ) -> int | None:
        files = write(corpus, settings, tier, ids)
        key = "-".join(map(str, ids))
        return publish(corpus.table(TABLE), files, mode=mode, content_key=key, run_id="r")

    def test_table_append_overwrite_replace_expire_collect(
        self, corpus: Corpus, remote: Settings
    ) -> None:
        table, tiers = corpus.table(TABLE), tiers_of(remote).values()
        self.put(corpus, remote, [1, 2], PublishMode.APPEND, "hot")
        assert self.put(corpus, remote, [1, 2], PublishMode.APPEND, "hot") is None
        self.put(corpus, remote, [3], PublishMode.APPEND, "hot")
        assert ids_of(corpus) == [1, 2, 3]
        old = tuple(file.url for file in table.files())
        new = tuple(write(corpus, remote, "cold", [1, 2, 3]))
        replace_files(table, [Replacement(old, new)], run_id="r")
        assert ids_of(corpus) == [1, 2, 3]
        self.put(corpus, remote, [4], PublishMode.OVERWRITE, "hot")
        assert ids_of(corpus) == [4]

        # The file of the publish that was a repetition is all that nothing refers to yet.
        (lost,) = find_orphans(corpus, tiers, NO_GRACE)
        assert lost.url.is_below(tiers_of(remote)["hot"].url)
        expire(table, datetime.now(UTC) + timedelta(hours=1))
        assert (
            collect_garbage(corpus.store, find_orphans(corpus, tiers, NO_GRACE)).files
            >= len(old) + len(new) + 1
        )
        assert find_orphans(corpus, tiers, NO_GRACE) == []
        assert [info.url for info in files_in(corpus.store, tiers_of(remote)["cold"].url)] == []
        assert ids_of(corpus) == [4]

    def test_table_of_writers_at_once_every_row_is_there_once(self, remote: Settings) -> None:
        # The swap of the catalog decides, so that it is the same on stores that disagree on
        # conditional writes.
        def driver(number: int) -> None:
            with open_to_write(remote) as corpus:
                for row in range(2):
                    ids = [10 * number + row]
                    self.put(corpus, remote, ids, PublishMode.APPEND, "hot")

        with open_to_write(remote) as corpus:
            corpus.table(TABLE).iceberg()
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(driver, range(4)))
            assert ids_of(corpus) == [10 * number + row for number in range(4) for row in range(2)]

    def test_table_reopened_elsewhere_reads_the_same(
        self, corpus: Corpus, remote: Settings
    ) -> None:
        self.put(corpus, remote, [1], PublishMode.APPEND, "hot")
        self.put(corpus, remote, [2], PublishMode.APPEND, "cold")
        with open_to_write(remote) as other:
            assert ids_of(other) == [1, 2]
            assert ids_by_pyiceberg(other.table(TABLE)) == [1, 2]
