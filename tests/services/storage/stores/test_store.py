"""The behaviour suite of stores on real servers, and how each tells what goes wrong."""

from __future__ import annotations

import pytest

from strata.errors import InputMissingError, MachineError, SettingsError
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from tests.support.servers.ceph import Ceph
from tests.support.servers.hdfs import Hdfs
from tests.support.suites.stores import ODD_NAMES, PagingTests, StoreTests


class TestStoreOnServers(StoreTests, PagingTests):
    @pytest.fixture
    def odd_names(self, any_folder: Url) -> tuple[str, ...]:
        if any_folder.scheme == "s3":
            return ODD_NAMES
        # The data nodes of Hadoop 2 decode a name twice.
        return tuple(name for name in ODD_NAMES if "%" not in name)

    def test_store_replaced_file_is_never_mixed_with_its_former_self(
        self, subject: Store, any_folder: Url
    ) -> None:
        if any_folder.scheme != "webhdfs":
            super().test_store_replaced_file_is_never_mixed_with_its_former_self(
                subject, any_folder
            )
            return
        # WebHDFS reads what has the name now; files of tables are never replaced.
        url, size = any_folder / "x", 10_000_000
        subject.write_bytes(url, b"1" * size)
        before = subject.info(url)
        with subject.open_input(url) as file:
            first = file.read(10)
            subject.write_bytes(url, b"2" * size)
            rest = file.read()
        assert first == b"1" * 10
        assert len(first + rest) == size
        assert set(rest) <= set(b"12")
        assert subject.info(url) != before
        assert subject.read_bytes(url) == b"2" * size


def ceph_store(ceph: Ceph, **options: object) -> FsspecStore:
    return FsspecStore(StorageOptions({"s3://": ceph.options | options}))


def test_ceph_wrong_secret_is_no_permission(ceph: Ceph, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = ceph.bucket()
    monkeypatch.setenv("WRONG", "wrong")
    store = ceph_store(ceph, secret="env:WRONG")
    for call in (
        lambda: store.read_bytes(bucket / "x"),
        lambda: store.write_bytes(bucket / "x", b"1"),
        lambda: store.find(bucket),
        lambda: store.delete(bucket / "x"),
    ):
        with pytest.raises(MachineError, match=r"(?s)s3://.*storage_options") as caught:
            call()
        assert "wrong" not in str(caught.value).replace("[storage_options]", "")


def test_ceph_secret_that_is_not_set_is_named(ceph: Ceph) -> None:
    with pytest.raises(SettingsError, match="NEVER_SET"):
        ceph_store(ceph, secret="env:NEVER_SET").find(ceph.bucket())


def test_ceph_missing_bucket_is_missing(ceph: Ceph) -> None:
    store, nowhere = ceph_store(ceph), Url.parse("s3://no-such-bucket/x")
    with pytest.raises(InputMissingError, match="no-such-bucket"):
        store.read_bytes(nowhere)
    with pytest.raises(MachineError, match="no-such-bucket"):
        store.write_bytes(nowhere, b"1")
    with pytest.raises(InputMissingError, match="no-such-bucket"):
        store.find(nowhere)


def test_hdfs_file_of_another_user_is_no_permission(hdfs: Hdfs) -> None:
    root = FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options}))
    other = FsspecStore(StorageOptions({str(hdfs.webhdfs): {"user": "nobody"}}))
    url = hdfs.folder() / "x"
    root.write_bytes(url, b"1")
    assert other.read_bytes(url) == b"1"
    for call in (
        lambda: other.write_bytes(url, b"2"),
        lambda: other.write_bytes(url.parent / "y", b"2"),
        lambda: other.delete(url),
    ):
        with pytest.raises(MachineError, match=r"Permission denied: user=nobody"):
            call()
    assert [info.url for info in root.find(url.parent)] == [url]
    assert root.read_bytes(url) == b"1"


def test_hdfs_file_below_a_file_is_a_fault_of_the_machine(hdfs: Hdfs) -> None:
    store = FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options}))
    url = hdfs.folder() / "x"
    store.write_bytes(url, b"1")
    with pytest.raises(MachineError, match="x/y"):
        store.write_bytes(url / "y", b"1")
    assert store.find(url / "y") == []


def test_hdfs_name_that_it_forbids_is_told(hdfs: Hdfs) -> None:
    store = FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options}))
    url = hdfs.folder() / "a:b"
    with pytest.raises(MachineError, match="Invalid path name"):
        store.write_bytes(url, b"1")
    assert store.find(url.parent) == []


def test_hdfs_replacing_a_file_never_leaves_a_gap(hdfs: Hdfs) -> None:
    store = FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options}))
    url = hdfs.folder() / "x"
    store.write_bytes(url, b"0")
    for number in range(10):
        output = store.create(url)
        output.write(b"%d" % (number + 1))
        assert store.read_bytes(url) == b"%d" % number
        output.close()
    # Its name was taken by a rename that replaces: there was never nothing.
    audit = (hdfs.server.folder / "log/namenode.log").read_text()
    assert "RemoteException" not in audit
    assert [info.url for info in store.find(url.parent)] == [url]


def test_pyarrow_hdfs_reads_what_webhdfs_wrote(hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow.fs import HadoopFileSystem

    monkeypatch.setenv("JAVA_HOME", hdfs.server.environment["JAVA_HOME"])
    _, _, port = hdfs.hdfs.rest.partition(":")
    try:
        HadoopFileSystem("127.0.0.1", int(port))
    except OSError as error:
        if "libhdfs" not in str(error):
            raise
        pytest.skip("there is no libhdfs.so: neither Debian nor PyPI has one")
    url = hdfs.folder() / "x"
    FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options})).write_bytes(url, b"1")
    same = hdfs.hdfs / url.path.lstrip("/")
    assert FsspecStore().read_bytes(same) == b"1"
    FsspecStore().write_bytes(same, b"2")
    assert FsspecStore().read_bytes(same) == b"2"
