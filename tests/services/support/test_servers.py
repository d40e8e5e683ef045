"""The servers themselves: they answer, start again after a kill, and leave nothing behind."""

from __future__ import annotations

import json
import signal
import socket
import tempfile
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from strata.storage.contracts.options import StorageOptions
from strata.storage.stores.fsspec_store import FsspecStore
from tests.support.servers.ceph import Ceph
from tests.support.servers.hdfs import Hdfs
from tests.support.servers.launch import running
from tests.support.servers.postgres import PASSWORD, Postgres
from tests.support.servers.spark import SparkCluster


def test_ceph_killed_gateway_starts_again_with_its_objects(ceph: Ceph) -> None:
    bucket = ceph.bucket()
    store = FsspecStore(StorageOptions({str(bucket): ceph.options}))
    store.write_bytes(bucket / "x", b"kept")
    ceph.server.send("rgw", signal.SIGKILL)
    ceph.server.up()
    assert store.read_bytes(bucket / "x") == b"kept"


def test_hdfs_killed_data_node_starts_again_with_its_files(hdfs: Hdfs) -> None:
    folder = hdfs.folder()
    store = FsspecStore(StorageOptions({str(hdfs.webhdfs): hdfs.options}))
    store.write_bytes(folder / "x", b"kept")
    hdfs.server.send("datanode", signal.SIGKILL)
    hdfs.server.up()
    assert store.read_bytes(folder / "x") == b"kept"


def test_postgres_databases_are_apart(postgres: Postgres) -> None:
    first, second = postgres.database(), postgres.database()
    with psycopg.connect(first.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE only_here (x int)")
    with (
        psycopg.connect(second.replace("+psycopg", "")) as connection,
        pytest.raises(psycopg.errors.UndefinedTable),
    ):
        connection.execute("SELECT * FROM only_here")


def test_spark_cluster_has_two_workers_and_no_executor(spark_cluster: SparkCluster) -> None:
    page = f"http://127.0.0.1:{spark_cluster.server.environment['SPARK_UI_PORT']}/json/"
    with urlopen(page, timeout=10) as answer:
        state = json.load(answer)
    assert (state["aliveworkers"], state["url"]) == (2, spark_cluster.master)
    assert spark_cluster.executors() == []


def test_server_that_cannot_start_tells_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as taken:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        Path(folder).chmod(0o755)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {"POSTGRES_PORT": port, "POSTGRES_PASSWORD": PASSWORD}
        with (
            pytest.raises(RuntimeError, match=r"(?s)postgres ended.*Address already in use"),
            running("postgres.sh", environment),
        ):
            pass
        assert list(Path(folder).iterdir()) == []
