"""Faults for real: each ends in an error of its kind, the table stays, and a rerun finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strata.errors import MachineError, StrataError, TransientError
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from tests.support.processes.drivers import TABLE, ids_of, write
from tests.support.servers.ceph import Ceph
from tests.support.servers.hdfs import Hdfs

MIB = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """A corpus that holds rows 1 and 2, and whose files go to a tier at ``url``."""

    settings: Settings
    url: Url

    def ingest(self) -> None:
        """Publish the rows 3 and 4, once however often it is called."""
        with open_corpus(self.settings) as corpus:
            files = write(corpus, self.settings, "hot", [3, 4])
            publish(
                corpus.table(TABLE),
                files,
                mode=PublishMode.APPEND,
                content_key="3-4",
                run_id="r",
            )

    def snapshot(self) -> list[str]:
        """The keys of what was published."""
        with open_corpus(self.settings) as corpus:
            return [str(each.content_key) for each in corpus.table(TABLE).snapshots()]

    def rows(self) -> list[int]:
        """The rows, read from their files."""
        with open_corpus(self.settings) as corpus:
            return ids_of(corpus)


@pytest.fixture
def corpus_on(settings: Settings) -> Callable[..., Corpus]:
    """Makes a corpus whose tier is at a URL."""

    def make(url: Url, options: dict[str, dict[str, Any]]) -> Corpus:
        update = {"tiers": {"hot": {"url": str(url)}}, "storage_options": options}
        made = Settings.model_validate(settings.model_dump() | update)
        with open_corpus(made) as corpus:
            files = write(corpus, made, "hot", [1, 2])
            publish(
                corpus.table(TABLE), files, mode=PublishMode.APPEND, content_key="1-2", run_id="r"
            )
        return Corpus(made, url)

    return make


def refused(corpus: Corpus, kind: type[StrataError], words: str) -> None:
    """An ingest must fail so, and change nothing."""
    with pytest.raises(kind, match=words) as caught:
        corpus.ingest()
    assert caught.value.hint
    assert corpus.snapshot() == ["1-2"]


def finishes(corpus: Corpus) -> None:
    """The same ingest must succeed now, and not twice."""
    corpus.ingest()
    corpus.ingest()
    assert corpus.rows() == [1, 2, 3, 4]
    assert corpus.snapshot() == ["1-2", "3-4"]


# Ceph


def test_ceph_quota_exceeded_is_full(ceph: Ceph, corpus_on: Callable[..., Corpus]) -> None:
    bucket = ceph.bucket()
    corpus = corpus_on(bucket / "hot", {str(bucket): ceph.options})
    # Less than any file has: what the user holds is counted with a delay.
    with ceph.quota("1K"):
        refused(corpus, MachineError, r"(?s)QuotaExceeded.*free some space")
        assert corpus.rows() == [1, 2]
    finishes(corpus)


def test_ceph_quota_exceeded_in_the_middle_of_an_upload_leaves_no_object(ceph: Ceph) -> None:
    bucket = ceph.bucket()
    store = open_store(StorageOptions({str(bucket): ceph.options}))
    with ceph.quota("8M"):

        def upload() -> None:
            with store.create(bucket / "large") as file:
                for _ in range(40):
                    file.write(random.Random(1).randbytes(MIB))

        with pytest.raises(MachineError, match="QuotaExceeded"):
            upload()
    assert store.find(bucket) == []


def test_ceph_busy_gateway_is_waited_for(ceph: Ceph) -> None:
    bucket = ceph.bucket()
    store = open_store(StorageOptions({str(bucket): ceph.options}))
    data = bytes(MIB)
    store.write_bytes(bucket / "x", data)
    with ceph.gateway_setting("rgw_max_concurrent_requests", "2"), ThreadPoolExecutor(12) as pool:
        read = list(pool.map(lambda _: store.read_bytes(bucket / "x"), range(36)))
    assert read == [data] * 36


def test_ceph_gateway_killed_in_an_upload_and_back_again(ceph: Ceph) -> None:
    bucket = ceph.bucket()
    store = open_store(StorageOptions({str(bucket): ceph.options}))
    data = random.Random(2).randbytes(24 * MIB)
    with store.create(bucket / "x") as file:
        file.write(data[: 12 * MIB])
        ceph.server.send("rgw", signal.SIGKILL)
        back = threading.Thread(target=ceph.server.up)
        back.start()
        file.write(data[12 * MIB :])
        back.join()
    assert store.read_bytes(bucket / "x") == data
    with ceph.client() as client:
        assert not client.list_multipart_uploads(Bucket=bucket.rest).get("Uploads")


def test_ceph_gone_is_transient(ceph: Ceph, corpus_on: Callable[..., Corpus]) -> None:
    bucket = ceph.bucket()
    corpus = corpus_on(bucket / "hot", {str(bucket): ceph.options})
    ceph.server.send("rgw", signal.SIGKILL)
    try:
        refused(corpus, TransientError, "hot.*run the same command again")
        with pytest.raises(TransientError):
            open_store(StorageOptions(corpus.settings.storage_options)).find(bucket)
    finally:
        ceph.server.up()
    finishes(corpus)


def test_ceph_hung_store_ends_in_a_timeout(ceph: Ceph, corpus_on: Callable[..., Corpus]) -> None:
    bucket = ceph.bucket()
    limits = {"read_timeout": 1, "connect_timeout": 1, "retries": {"max_attempts": 0}}
    corpus = corpus_on(bucket / "hot", {str(bucket): ceph.options | {"config_kwargs": limits}})
    # A server that is stopped for long needs minutes to come back.
    transfer = corpus.settings.transfer.model_copy(update={"attempts": 2})
    quick = corpus.settings.model_copy(update={"transfer": transfer})
    ceph.server.send("osd", signal.SIGSTOP)
    try:
        refused(Corpus(quick, corpus.url), TransientError, "(?i)time")
    finally:
        ceph.server.send("osd", signal.SIGCONT)
    finishes(corpus)


def test_ceph_wrong_secret_is_told(
    ceph: Ceph, corpus_on: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = ceph.bucket()
    monkeypatch.setenv("CHANGED", os.environ[ceph.options["secret"].removeprefix("env:")])
    corpus = corpus_on(bucket / "hot", {str(bucket): ceph.options | {"secret": "env:CHANGED"}})
    right = os.environ["CHANGED"]
    monkeypatch.setenv("CHANGED", "wrong-one")
    refused(corpus, MachineError, "storage_options")
    monkeypatch.setenv("CHANGED", right)
    finishes(corpus)


# HDFS


def hdfs_corpus(hdfs: Hdfs, make: Callable[..., Corpus]) -> Corpus:
    return make(hdfs.folder(), {str(hdfs.webhdfs): hdfs.options})


@pytest.mark.parametrize("process", ["datanode", "namenode"])
def test_hdfs_gone_is_transient(hdfs: Hdfs, corpus_on: Callable[..., Corpus], process: str) -> None:
    corpus = hdfs_corpus(hdfs, corpus_on)
    hdfs.server.send(process, signal.SIGKILL)
    try:
        refused(corpus, TransientError, "run the same command again")
        with pytest.raises(TransientError):
            corpus.rows()
    finally:
        hdfs.server.up()
    finishes(corpus)


@pytest.mark.parametrize(
    "quota", [("-setQuota", "3"), ("-setSpaceQuota", "1048576")], ids=["names", "bytes"]
)
def test_hdfs_quota_exceeded_is_full(
    hdfs: Hdfs, corpus_on: Callable[..., Corpus], quota: tuple[str, str]
) -> None:
    corpus = hdfs_corpus(hdfs, corpus_on)
    name, limit = quota
    hdfs.admin(name, limit, corpus.url.path)
    refused(corpus, MachineError, r"(?s)(quota|0 are there).*free some space")
    assert corpus.rows() == [1, 2]
    hdfs.admin(name.replace("-set", "-clr"), corpus.url.path)
    finishes(corpus)


def test_hdfs_safe_mode_is_transient(hdfs: Hdfs, corpus_on: Callable[..., Corpus]) -> None:
    corpus = hdfs_corpus(hdfs, corpus_on)
    hdfs.admin("-safemode", "enter")
    try:
        refused(corpus, TransientError, "safe mode")
        assert corpus.rows() == [1, 2]
    finally:
        hdfs.admin("-safemode", "leave")
    finishes(corpus)


# local disks


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small file system of its own at a folder."""
    if os.geteuid():
        pytest.skip("mounting takes root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_disk_full_is_told_and_leaves_no_part(
    corpus_on: Callable[..., Corpus], tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "512k") as disk:
        corpus = corpus_on(Url.parse(disk / "hot"), {})
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(MIB))
        before = sorted(disk.rglob("*"))
        refused(corpus, MachineError, r"(?s)No space left.*free some space")
        assert corpus.rows() == [1, 2]
        assert sorted(disk.rglob("*")) == before
        ballast.unlink()
        finishes(corpus)


def test_disk_full_under_the_catalog_is_told_and_publishes_nothing(
    settings: Settings, corpus_on: Callable[..., Corpus], tmp_path: Path
) -> None:
    with mounted(tmp_path / "warehouse", "512k") as disk:
        corpus = corpus_on(Url.parse(tmp_path / "hot"), {})
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(MIB))
        with pytest.raises((MachineError, TransientError), match=r"(?i)space|full"):
            corpus.ingest()
        ballast.unlink()
        assert corpus.snapshot() == ["1-2"]
        finishes(corpus)


def test_disk_mounted_read_only_is_told(corpus_on: Callable[..., Corpus], tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        corpus = corpus_on(Url.parse(disk / "hot"), {})
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        refused(corpus, MachineError, r"(?s)Read-only file system.*writable")
        assert corpus.rows() == [1, 2]
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        finishes(corpus)


AS_NOBODY = """
import os, sys
from strata.errors import StrataError
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.contracts.url import Url
os.setgid(65534)
os.setuid(65534)
store, folder = FsspecStore(), Url.parse(sys.argv[1])
for call in (
    lambda: store.write_bytes(folder / "new/y", b"2"),
    lambda: store.write_bytes(folder / "x", b"2"),
    lambda: store.delete(folder / "x"),
    lambda: store.read_bytes(folder / "secret"),
):
    try:
        call()
    except StrataError as error:
        print(type(error).__name__, "access" in error.hint, str(folder) in str(error))
"""


def test_permission_denied_is_told_and_changes_nothing() -> None:
    if os.geteuid():
        pytest.skip("becoming another user takes root")
    # Not below pytest's own folder, which no other user may enter.
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "x").write_bytes(b"1")
        (folder / "secret").write_bytes(b"1")
        (folder / "secret").chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, name], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.splitlines() == ["MachineError True True"] * 4, done.stderr
        assert (folder / "x").read_bytes() == b"1"
        assert sorted(each.name for each in folder.iterdir()) == ["secret", "x"]
