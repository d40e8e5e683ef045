import pickle

import pytest

from strata.errors import ConflictError
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store


@pytest.fixture
def warehouse(tmp_path):
    return Url.parse(tmp_path)


def store_of(warehouse, attempt):
    return pickle.loads(
        pickle.dumps(open_store(StorageOptions(staging=warehouse / f"_staging/{attempt}")))
    )


def test_own_staging_own_files_and_tables_are_reached(warehouse):
    store = store_of(warehouse, "a.run.1")
    for url in (warehouse / "_staging/a.run.1/deep/x", warehouse / "a/documents/data/x"):
        store.write_bytes(url, b"1")
        assert store.read_bytes(url) == b"1"
        assert [file.url for file in store.find(url.parent)] == [url]
        store.delete(url)
        assert not store.exists(url)


@pytest.mark.parametrize(
    "use",
    [
        lambda store, url: store.read_bytes(url),
        lambda store, url: store.read_tail(url, 1),
        lambda store, url: store.read_ranges(url, []),
        lambda store, url: store.info(url),
        lambda store, url: store.find(url.parent),
        lambda store, url: store.delete(url),
        lambda store, url: store.write_bytes(url, b"2"),
    ],
)
@pytest.mark.parametrize("other", ["b.run.1", "a.run.12", "a.run.2", "run"])
def test_own_staging_files_of_others_are_refused(warehouse, use, other):
    url = warehouse / f"_staging/{other}/x"
    store_of(warehouse, other).write_bytes(url, b"1")

    with pytest.raises(ConflictError, match="staged by another run"):
        use(store_of(warehouse, "a.run.1"), url)

    assert store_of(warehouse, other).read_bytes(url) == b"1"
