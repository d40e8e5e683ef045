import pytest

from strata.errors import SettingsError
from strata.settings import Settings, TierSettings
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.tier_hints import TierHints
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.stores import fsspec_store
from strata.storage.stores.filesystems import open_filesystem
from strata.storage.stores.fsspec_store import FsspecStore


@pytest.mark.parametrize(
    ("url", "hints", "named"),
    [
        ("/data/cold", {"storage_class": "GLACIER"}, "storage_class is for s3://"),
        ("file:///data/cold", {"replication": 2}, "replication is for webhdfs:// and hdfs://"),
        ("s3://b/cold", {"replication": 2}, "s3://b/cold"),
        ("hdfs://nn/cold", {"storage_policy": "COLD"}, "storage_policy is for webhdfs://"),
        ("gs://b/cold", {"endpoints": ["http://a"]}, "endpoints is for s3://"),
        ("s3://b/cold", {"storage_class": "not a class"}, "storage_class"),
    ],
)
def test_hints_that_do_not_fit_the_store_are_refused(url, hints, named):
    with pytest.raises(ValueError, match=named):
        TierSettings(url=url, **hints)


def test_hints_of_the_tiers_travel_with_the_options_as_json(settings, tmp_path):
    tiers = {
        "cold": {"url": "s3://b/cold", "storage_class": "GLACIER", "endpoints": ["http://a"]},
        "deep": {"url": "s3://b/cold/deep", "storage_class": "DEEP_ARCHIVE"},
        "plain": {"url": "s3://b/plain"},
    }
    sections = {
        "transfer": {"part_mb": 16, "window": 2, "attempts": 3},
        "cache": {"folder": str(tmp_path), "capacity_gb": 1, "block_mb": 2, "prefetch": 3},
    }
    made = Settings.model_validate(settings.model_dump() | {"tiers": tiers} | sections)
    options = StorageOptions.from_json(StorageOptions.of(made).to_json())
    assert options == StorageOptions.of(made)
    tier, hints = options.hints_of(Url.parse("s3://b/cold/web/x.parquet"))
    assert (tier, hints) == ("s3://b/cold", TierHints("GLACIER", endpoints=("http://a",)))
    assert options.hints_of(Url.parse("s3://b/cold/deep/x"))[1].storage_class == "DEEP_ARCHIVE"
    assert options.hints_of(Url.parse("s3://b/colder/x")) == ("", TierHints())
    assert list(options.hints) == ["s3://b/cold", "s3://b/cold/deep"]
    assert options.transfer == TransferPolicy(part_bytes=16 << 20, window=2, attempts=3)
    assert options.cache == CacheOptions(str(tmp_path), 10**9, 2 << 20, 3)


def test_hints_endpoint_of_a_store_that_has_one_is_refused():
    with pytest.raises(SettingsError, match="memory"):
        open_filesystem(Url.parse("memory://x"), {}, "http://a", TransferPolicy())


def test_hints_replication_reaches_libhdfs_when_it_connects(monkeypatch):
    asked = {}

    def opened(url, options, endpoint, policy):
        asked.update(options)
        raise OSError("no libhdfs here")

    monkeypatch.setattr(fsspec_store, "open_filesystem", opened)
    store = FsspecStore(StorageOptions({}, {"hdfs://nn/cold": TierHints(replication=2)}))
    with pytest.raises(OSError, match="no libhdfs"):
        store.create(Url.parse("hdfs://nn/cold/x"))
    assert asked == {"replication": 2}
