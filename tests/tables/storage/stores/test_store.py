import errno
import os
import resource
import threading
from functools import partial
from http.server import (
    BaseHTTPRequestHandler,
    HTTPServer,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from traceback import format_exception

import pytest

from strata.errors import InputMissingError, MachineError, SettingsError, TransientError
from strata.storage.cache.store import CachedStore
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.faults import as_strata_error
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import ByteRange
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.webhdfs_filesystem import remote_error
from strata.storage.transfer.metering import IoMeter, MeteredStore
from tests.support.suites.stores import PagingTests, StoreTests


class TestOpenedStore(StoreTests, PagingTests):
    pass


class TestCachedStore(StoreTests):
    @pytest.fixture
    def subject(self, any_store, tmp_path_factory):
        folder = tmp_path_factory.mktemp("cache")
        return CachedStore(any_store, CacheOptions(str(folder), 10_000_000, block_bytes=1000))


class TestMeteredStore(StoreTests):
    def wrap(self, store):
        return MeteredStore(store)

    def test_metered_store_counts_bytes_and_requests(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"x" * 1000)
        subject.read_bytes(url)
        subject.read_ranges(url, [ByteRange(0, 10), ByteRange(20, 30)])
        assert subject.meter.bytes_written == 1000
        assert subject.meter.bytes_read == 1020
        # On a store that is not local, the size of a file is a request too.
        requests = 3 if url.scheme == "file" else 4
        assert subject.meter.read_requests == requests
        assert subject.meter + IoMeter(1, 1, 1, 1) == IoMeter(1021, 1001, requests + 1, 2)


def test_store_object_larger_than_a_block_round_trips(s3_options):
    store = FsspecStore(
        StorageOptions({"s3://bucket": s3_options | {"default_block_size": 5 << 20}})
    )
    data = os.urandom(12 << 20)
    store.write_bytes(Url.parse("s3://bucket/large"), data)
    assert store.read_bytes(Url.parse("s3://bucket/large")) == data


def test_store_discarded_upload_of_several_parts_leaves_nothing(s3_options):
    store = FsspecStore(
        StorageOptions({"s3://bucket": s3_options | {"default_block_size": 5 << 20}})
    )
    file = store.create(Url.parse("s3://bucket/parts/x"))
    file.write(os.urandom(12 << 20))
    file.discard()
    assert store.find(Url.parse("s3://bucket/parts")) == []


def test_store_wrong_scheme_names_the_extra():
    with pytest.raises(SettingsError, match="nowhere"):
        FsspecStore().info(Url.parse("nowhere://x/y"))


def test_store_unreachable_server_is_transient():
    options = {"key": "a", "secret": "b", "endpoint_url": "http://127.0.0.1:9"}
    store = FsspecStore(StorageOptions({"s3://b": options}))
    with pytest.raises(TransientError, match="s3://b/x"):
        store.read_bytes(Url.parse("s3://b/x"))


def test_store_file_below_a_file_is_a_fault_of_the_machine(store, folder):
    store.write_bytes(folder / "x", b"")
    with pytest.raises(MachineError, match="x/y"):
        store.write_bytes(folder / "x/y", b"")
    with pytest.raises(MachineError, match="x/y"):
        store.read_bytes(folder / "x/y")


def test_store_missing_bucket_is_missing(s3_options):
    store = FsspecStore(StorageOptions({"s3://": s3_options}))
    with pytest.raises(InputMissingError, match="no-bucket"):
        store.read_bytes(Url.parse("s3://no-bucket/x"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), InputMissingError),
        (PermissionError("x"), MachineError),
        (TimeoutError(), TransientError),
        (ConnectionResetError("x"), TransientError),
        (OSError(errno.EBUSY, "slow down"), TransientError),
        (OSError(errno.ENOSPC, "full"), MachineError),
        (OSError("odd"), MachineError),
        (ValueError("a bug"), None),
    ],
)
def test_store_faults_have_a_kind_and_name_the_url(error, kind):
    told = as_strata_error(error, Url.parse("s3://b/key"), "read")
    assert type(told) is (kind or type(None))
    assert told is None or "s3://b/key" in str(told)


def test_store_fault_with_a_server_error_behind_it_is_transient():
    error = OSError(errno.EIO, "unavailable")
    error.__cause__ = RuntimeError("503")
    error.__cause__.response = {"ResponseMetadata": {"HTTPStatusCode": 503}}
    assert isinstance(as_strata_error(error, Url.parse("s3://b/k"), "read"), TransientError)


@pytest.mark.parametrize("status", [408, 429])
def test_store_fault_of_too_many_requests_is_transient(status):
    told = as_strata_error(answered("TooManyRequests", status), Url.parse("s3://b/k"), "read")
    assert isinstance(told, TransientError)


def answered(code, status):
    error = OSError(errno.EIO, f"An error occurred ({code})")
    error.__cause__ = RuntimeError(code)
    error.__cause__.response = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return error


@pytest.mark.parametrize(
    "error",
    [
        answered("QuotaExceeded", 403),
        answered("XMinioStorageFull", 507),
        answered("InsufficientStorage", 507),
        remote_error("DSQuotaExceededException", "The DiskSpace quota of /x is exceeded"),
        remote_error("RemoteException", "The NameSpace quota of /x is exceeded: 2"),
        OSError(errno.EDQUOT, "quota"),
    ],
)
def test_store_fault_of_a_full_store_says_to_make_room(error):
    told = as_strata_error(error, Url.parse("s3://b/k"), "write")
    assert isinstance(told, MachineError)
    assert "free some space" in told.hint


def test_store_fault_of_a_read_only_place_says_so():
    told = as_strata_error(OSError(errno.EROFS, "read-only"), Url.parse("/x"), "write")
    assert isinstance(told, MachineError)
    assert "writable" in told.hint


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        # A parent folder that cannot be made; nothing was missing that was asked for.
        ("FileNotFoundException", "gone", MachineError),
        ("AccessControlException", "no", MachineError),
        ("StandbyException", "state standby", TransientError),
        ("SafeModeException", "in safe mode", TransientError),
        ("IOException", "File /x could only be replicated to 0 nodes", TransientError),
        ("IOException", "odd", MachineError),
    ],
)
def test_store_faults_of_hdfs_have_a_kind(kind, message, expected):
    told = as_strata_error(
        remote_error(kind, message + "\n\tat org.apache"), Url.parse("webhdfs://h:1/x"), "write"
    )
    assert type(told) is expected
    assert "org.apache" not in str(told)


@pytest.fixture
def file_size_limit():
    """Files of this process end at 2 MB, as on a disk that has no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_store_output_that_found_no_room_is_discarded_in_silence(tmp_path, file_size_limit):
    output = FsspecStore().create(Url.parse(tmp_path / "out/x"))
    output.write(bytes(1_900_000))
    output.write(bytes(600_000))
    with pytest.raises(OSError, match="x"):
        output.write(bytes(600_000))

    output.discard()

    assert list((tmp_path / "out").iterdir()) == []


def test_store_close_that_is_interrupted_leaves_no_part(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        FsspecStore().write_bytes(folder / "x", b"1")
    assert os.listdir(folder.path) == []


def test_store_errors_of_webhdfs_hold_no_token(monkeypatch):
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(502)

        def log_message(self, *_):
            """Says nothing."""

    monkeypatch.setenv("TOKEN", "s3cr3t")
    policy = TransferPolicy(attempts=1)
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        place = f"webhdfs://127.0.0.1:{server.server_port}"
        store = FsspecStore(StorageOptions({place: {"token": "env:TOKEN"}}, transfer=policy))
        with pytest.raises(TransientError, match="502") as refused:
            store.info(Url.parse(f"{place}/x"))
    with pytest.raises(TransientError, match="Connection") as gone:
        store.info(Url.parse(f"{place}/x"))
    for caught in (refused, gone):
        assert "s3cr3t" not in "".join(format_exception(caught.value))


def test_store_http_file_that_changed_has_another_identity(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    handler = partial(SilentFiles, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = Url.parse(f"http://127.0.0.1:{server.server_port}/x")
        before = FsspecStore().info(url)
        (tmp_path / "x").write_bytes(b"2")
        os.utime(tmp_path / "x", (1, 1))
        after = FsspecStore().info(url)
        server.shutdown()
    assert before.size == after.size
    assert before.identity != after.identity


class SilentFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing."""
