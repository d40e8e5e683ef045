import errno
import os
import pickle
import resource

import fsspec
import pytest

from strata.errors import InputMissingError, MachineError, SettingsError, TransientError
from strata.storage.contract import ByteRange
from strata.storage.faults import as_strata_error
from strata.storage.store import FsspecStore, IoMeter, MeteredStore, StorageOptions
from strata.storage.url import Url


class StoreTests:
    """What every store keeps, wrapped or not; subclasses say how it is wrapped."""

    def wrap(self, store):
        return store

    @pytest.fixture
    def subject(self, any_store):
        return self.wrap(any_store)

    def test_store_written_bytes_read_back(self, subject, any_folder):
        url = any_folder / "new/folder/x.bin"
        subject.write_bytes(url, b"one")
        subject.write_bytes(url, b"two!")
        assert subject.read_bytes(url) == b"two!"
        assert subject.info(url).size == 4
        assert subject.exists(url)

    def test_store_empty_file_is_a_file(self, subject, any_folder):
        subject.write_bytes(any_folder / "empty", b"")
        assert subject.read_bytes(any_folder / "empty") == b""
        assert subject.info(any_folder / "empty").size == 0

    def test_store_input_seeks_and_reads_lines(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"first\nsecond\nlast")
        with subject.open_input(any_folder / "x") as file:
            assert file.seekable()
            assert file.seek(6) == 6
            assert file.readline() == b"second\n"
            assert file.tell() == 13
            assert file.seek(-4, os.SEEK_END) == 13
            assert file.read() == b"last"
            assert file.read(5) == b""
            file.seek(0)
            buffer = bytearray(5)
            assert file.readinto(buffer) == 5
            assert buffer == b"first"
            assert list(file) == [b"\n", b"second\n", b"last"]

    def test_store_read_ranges_keep_their_order(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", bytes(range(100)))
        ranges = [ByteRange(90, 100), ByteRange(0, 2), ByteRange(1, 4)]
        assert subject.read_ranges(any_folder / "x", ranges) == [
            bytes(range(90, 100)),
            b"\0\1",
            b"\1\2\3",
        ]

    def test_store_unclosed_output_is_not_there(self, subject, any_folder):
        url = any_folder / "x"
        file = subject.create(url)
        file.write(b"half")
        assert not subject.exists(url)
        file.close()
        assert subject.read_bytes(url) == b"half"

    def test_store_forgotten_output_never_appears(self, subject, any_folder):
        file = subject.create(any_folder / "x")
        file.write(b"half")
        del file
        assert subject.find(any_folder) == []

    def test_store_failed_block_keeps_the_former_content(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"old")

        def fail():
            with subject.create(url) as file:
                file.write(b"new")
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            fail()
        assert subject.read_bytes(url) == b"old"
        assert [info.url for info in subject.find(any_folder)] == [url]

    def test_store_discard_twice_and_close_after_is_harmless(self, subject, any_folder):
        file = subject.create(any_folder / "x")
        file.discard()
        file.discard()
        file.close()
        assert not subject.exists(any_folder / "x")

    def test_store_find_lists_folder_glob_and_file_sorted(self, subject, any_folder):
        names = ["a/1.txt", "a/b/2.txt", "a/b/3.md", "c.txt"]
        for name in reversed(names):
            subject.write_bytes(any_folder / name, name.encode())

        def found(url):
            return [str(info.url).removeprefix(f"{any_folder}/") for info in subject.find(url)]

        assert found(any_folder) == names
        assert found(any_folder / "a") == names[:3]
        assert found(any_folder / "a/**/*.txt") == names[:2]
        assert found(any_folder / "*.txt") == ["c.txt"]
        assert found(any_folder / "a/*") == names[:3]
        assert found(any_folder / "c.txt") == ["c.txt"]
        assert found(any_folder / "none") == []
        assert [info.size for info in subject.find(any_folder)] == [len(n) for n in names]

    def test_store_find_takes_an_existing_name_with_brackets_literally(self, subject, any_folder):
        subject.write_bytes(any_folder / "x[1].txt", b"1")
        assert [info.url.name for info in subject.find(any_folder / "x[1].txt")] == ["x[1].txt"]

    def test_store_identity_changes_with_the_content(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"one")
        before = subject.info(url)
        assert before == subject.info(url) == subject.find(any_folder)[0]
        subject.write_bytes(url, b"two")
        assert subject.info(url).identity != before.identity
        assert before.identity

    def test_store_missing_file_is_named(self, subject, any_folder):
        url = any_folder / "not-there"
        for call in (subject.info, subject.read_bytes):
            with pytest.raises(InputMissingError, match="not-there"):
                call(url)
        assert not subject.exists(url)

    def test_store_folder_is_no_file(self, subject, any_folder):
        subject.write_bytes(any_folder / "d/x", b"")
        assert not subject.exists(any_folder / "d")

    def test_store_deleted_file_is_gone(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"1")
        subject.delete(any_folder / "x")
        assert not subject.exists(any_folder / "x")
        subject.delete(any_folder / "x")

    def test_store_pickle_round_trip_keeps_working(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"1")
        copy = pickle.loads(pickle.dumps(subject))
        assert copy.read_bytes(any_folder / "x") == b"1"

    def test_store_pickle_holds_no_secret(self, subject):
        assert b'"secret"' not in pickle.dumps(subject)
        assert "127.0.0.1" not in repr(subject)


class TestFsspecStore(StoreTests):
    pass


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
        assert subject.meter.read_requests == 3
        assert subject.meter + IoMeter(1, 1, 1, 1) == IoMeter(1021, 4, 1001, 2)


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
    options["config_kwargs"] = {"retries": {"max_attempts": 0}, "connect_timeout": 1}
    store = FsspecStore(StorageOptions({"s3://b": options}))
    fsspec.get_filesystem_class("s3").retries, before = 1, fsspec.get_filesystem_class("s3").retries
    try:
        with pytest.raises(TransientError, match="s3://b/x"):
            store.read_bytes(Url.parse("s3://b/x"))
    finally:
        fsspec.get_filesystem_class("s3").retries = before


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
