"""Transfers and the cache on real servers: requests that are refused, servers that die, hints."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strata.errors import SettingsError
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.tier_hints import TierHints
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.stores import webhdfs
from strata.storage.stores.filesystems import open_filesystem
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from tests.support.servers.ceph import Ceph
from tests.support.servers.hdfs import Hdfs

MB = 1 << 20
DATA = os.urandom(30 * MB)
POLICY = TransferPolicy(part_bytes=5 * MB, attempts=20, first_pause=0.05, longest_pause=1.0)


def ceph_store(ceph: Ceph, **others: object) -> MeteredStore:
    options = StorageOptions({"s3://": ceph.options}, transfer=POLICY, **others)
    return MeteredStore(open_store(options))


def unfinished(ceph: Ceph, bucket: Url) -> list[object]:
    with ceph.client() as client:
        return client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])


def test_transfer_ceph_large_file_takes_few_requests(ceph: Ceph) -> None:
    bucket, store = ceph.bucket(), ceph_store(ceph)
    store.write_bytes(bucket / "x", DATA)
    with store.open_input(bucket / "x") as file:
        assert b"".join(iter(lambda: file.read(MB), b"")) == DATA
    assert store.meter.write_requests <= 0.3 * len(DATA) / MB
    assert store.meter.read_requests <= 0.3 * len(DATA) / MB
    assert unfinished(ceph, bucket) == []


def test_transfer_ceph_that_refuses_what_is_too_much_is_asked_again(ceph: Ceph) -> None:
    bucket = ceph.bucket()
    store = ceph_store(ceph)
    store.write_bytes(bucket / "x", DATA)
    with ceph.gateway_setting("rgw_max_concurrent_requests", "1"):
        readers = [threading.Thread(target=store.read_bytes, args=(bucket / "x",)) for _ in "123"]
        for reader in readers:
            reader.start()
        store.write_bytes(bucket / "y", DATA)
        for reader in readers:
            reader.join()
    assert store.read_bytes(bucket / "y") == DATA


@contextmanager
def killed(ceph: Ceph) -> Iterator[None]:
    """The gateway is killed now, and comes back while the block runs."""
    ceph.server.send("rgw", signal.SIGKILL)
    again = threading.Thread(target=ceph.server.up)
    again.start()
    yield
    again.join()


def test_transfer_ceph_gateway_killed_within_an_upload_loses_nothing(ceph: Ceph) -> None:
    bucket, store = ceph.bucket(), ceph_store(ceph)
    with store.create(bucket / "x") as output:
        output.write(DATA[: 11 * MB])
        with killed(ceph):
            output.write(DATA[11 * MB :])
    assert store.read_bytes(bucket / "x") == DATA
    assert store.meter.retries
    assert unfinished(ceph, bucket) == []


def test_transfer_ceph_second_reading_asks_only_for_the_version(ceph: Ceph, tmp_path: Path) -> None:
    bucket = ceph.bucket()
    cache = CacheOptions(str(tmp_path / "cache"), 10**9)
    ceph_store(ceph).write_bytes(bucket / "x", DATA)
    assert ceph_store(ceph, cache=cache).read_bytes(bucket / "x") == DATA
    again = ceph_store(ceph, cache=cache)
    assert again.read_bytes(bucket / "x") == DATA
    assert again.meter.read_requests == 1
    assert again.meter.cache_bytes == len(DATA)
    again.write_bytes(bucket / "x", DATA[::-1])
    assert again.read_bytes(bucket / "x") == DATA[::-1]


def hdfs_options(hdfs: Hdfs, tier: Url, **hints: object) -> StorageOptions:
    return StorageOptions(
        {str(hdfs.webhdfs): hdfs.options}, {str(tier): TierHints(**hints)}, POLICY
    )


@pytest.mark.parametrize("size", [1000, 12 * MB])
def test_transfer_hdfs_replication_is_that_of_the_tier(hdfs: Hdfs, size: int) -> None:
    tier = hdfs.folder()
    options = hdfs_options(hdfs, tier, replication=3)
    store = open_store(options)
    store.write_bytes(tier / "x", DATA[:size])
    assert store.read_bytes(tier / "x") == DATA[:size]
    store.write_bytes(tier.parent / f"{tier.name}-beside", b"1")
    filesystem = open_filesystem(tier, options.resolve(tier), None, POLICY)
    assert filesystem.info((tier / "x").path)["replication"] == 3
    assert filesystem.info(f"{tier.path}-beside")["replication"] == 1


def test_transfer_hdfs_storage_policy_that_the_server_does_not_know_is_told(hdfs: Hdfs) -> None:
    tier = hdfs.folder()
    store = open_store(hdfs_options(hdfs, tier, storage_policy="COLD"))
    with pytest.raises(SettingsError, match=r"(?s)storage policy 'COLD'.*storage_policy"):
        store.write_bytes(tier / "x", b"1")
    assert store.find(tier) == []


def test_transfer_hdfs_endpoint_that_is_dead_is_passed_by(hdfs: Hdfs) -> None:
    tier = hdfs.folder()
    alive = hdfs.webhdfs.rest
    store = MeteredStore(open_store(hdfs_options(hdfs, tier, endpoints=("127.0.0.1:9", alive))))
    store.write_bytes(tier / "x", DATA[:1000])
    assert store.read_bytes(tier / "x") == DATA[:1000]
    assert store.meter.failovers == 1


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("nn1:9871", {"host": "nn1", "port": 9871}),
        ("nn1", {"host": "nn1", "port": 9870}),
        ("http://nn1:50070/", {"host": "nn1", "port": 50070}),
        ("https://nn1:9871", {"host": "nn1", "port": 9871, "use_https": True}),
    ],
)
def test_transfer_hdfs_endpoints_are_hosts_or_urls(endpoint: str, expected: object) -> None:
    assert webhdfs.host_and_port(endpoint) == expected
