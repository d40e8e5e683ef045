"""Tables through a store that fails: right after each failure, and complete once repeated."""

import pickle
import random
from datetime import UTC, datetime, timedelta

import pytest

from strata.errors import TransientError
from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.store import ByteRange
from strata.storage.iceberg import file_io
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.tiers import tiers_of
from tests.support.faults.faulty_store import FaultyStore, StoreFault
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.suites.stores import StoreTests

NO_GRACE = timedelta(0)


class TestSlowStore(StoreTests):
    """Latency changes nothing but the time."""

    def wrap(self, store):
        return FaultyStore(store, StoreFault.LATENCY)


def test_faulty_store_fails_at_every_third_call_and_after_a_pickle_too(folder):
    store = FaultyStore(FsspecStore(), StoreFault.BUSY)
    for copy in (store, pickle.loads(pickle.dumps(store))):
        outcomes = []
        for _ in range(6):
            try:
                copy.write_bytes(folder / "x", b"1")
                outcomes.append("ok")
            except TransientError:
                outcomes.append("busy")
        assert outcomes == ["ok", "ok", "busy"] * 2
    assert store.inner.read_ranges(folder / "x", [ByteRange(0, 1)]) == [b"1"]


def test_faulty_store_torn_write_leaves_the_former_content(folder):
    url = folder / "x"
    FsspecStore().write_bytes(url, b"old")
    store = FaultyStore(FsspecStore(), StoreFault.TORN_WRITE, every=1)
    with pytest.raises(TransientError):
        store.write_bytes(url, b"new one")
    assert [info.url for info in store.find(folder)] == [url]
    assert store.read_bytes(url) == b"old"


@pytest.fixture
def settings(settings, tmp_path):
    tiers = {name: {"url": str(tmp_path / name)} for name in ("hot", "cold")}
    return settings.model_validate(settings.model_dump() | {"tiers": tiers})


# Further apart than the calls of one action, which would otherwise never end well.
@pytest.mark.parametrize(
    ("fault", "every"),
    [
        (StoreFault.BUSY, 37),
        (StoreFault.BUSY, 53),
        (StoreFault.TORN_WRITE, 7),
        (StoreFault.TORN_WRITE, 11),
        (StoreFault.LOST_ANSWER, 7),
        (StoreFault.LOST_ANSWER, 11),
    ],
)
def test_faulty_store_under_a_table_loses_and_doubles_nothing(settings, monkeypatch, fault, every):
    """Appends, rewrites and collections, each repeated until it ends well."""
    faulty = FaultyStore(FsspecStore(), fault, every)
    # The metadata of Iceberg go through the same store.
    monkeypatch.setattr(file_io, "open_store", lambda _: faulty)
    dice = random.Random(f"{fault}{every}")
    rows, failures = [], 0
    with open_to_write(settings) as plain:
        corpus = Corpus(plain.name, plain.warehouse, plain._catalog, faulty, plain.membership)
        table = corpus.table(TABLE)

        def append():
            publish(
                table,
                write(corpus, settings, "hot", [rows[-1]]),
                mode=PublishMode.APPEND,
                content_key=str(rows[-1]),
                run_id="r",
            )

        def rewrite():
            old = tuple(file.url for file in table.files())
            new = tuple(write(corpus, settings, "cold", sorted(rows)))
            replace_files(table, [Replacement(old, new)], run_id="r")

        def collect():
            expire(table, datetime.now(UTC) + timedelta(hours=1))
            tiers = tiers_of(settings).values()
            collect_garbage(faulty, find_orphans(corpus, tiers, NO_GRACE))

        def ids():
            return ids_of(corpus)

        def repeated(action):
            nonlocal failures
            for _ in range(30):
                try:
                    return action()
                except TransientError:
                    failures += 1
            raise AssertionError(f"{action.__name__} never ended well")

        for number in range(4):
            rows.append(number)
            repeated(append)
            assert repeated(ids) == rows
            if dice.random() < 0.5:
                repeated(rewrite)
                assert repeated(ids) == rows
            repeated(collect)
            assert repeated(ids) == rows
    assert failures
    with open_to_write(settings) as again:
        monkeypatch.undo()
        assert ids_of(again) == rows
        assert find_orphans(again, tiers_of(settings).values(), NO_GRACE) == []
