"""Real servers on loopback: each starts when a test first asks for it, and serves the session.

STRATA_SERVICES names the servers that may be used, with commas; the tests of others are skipped.
Unless it is set, a server that cannot start fails its tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from tests.support.servers.ceph import SECRET, SECRET_VARIABLE, Ceph, running_ceph
from tests.support.servers.hdfs import Hdfs, running_hdfs
from tests.support.servers.postgres import Postgres, running_postgres
from tests.support.servers.spark import SparkCluster, running_spark

VARIABLE = "STRATA_SERVICES"
SERVICES = frozenset({"ceph", "hdfs", "postgres", "spark"})


def wanted(service: str) -> None:
    """Skip the test where STRATA_SERVICES leaves a server out."""
    given = os.environ.get(VARIABLE)
    if given is None:
        return
    named = {name.strip() for name in given.split(",") if name.strip()}
    if named - SERVICES:
        pytest.fail(f"{VARIABLE}={given} has unknown names; known are {sorted(SERVICES)}")
    if service not in named:
        pytest.skip(f"{VARIABLE}={given} leaves {service} out")


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """A Ceph object store."""
    wanted("ceph")
    with running_ceph() as server:
        yield server


@pytest.fixture(scope="session")
def hdfs() -> Iterator[Hdfs]:
    """HDFS with WebHDFS."""
    wanted("hdfs")
    with running_hdfs() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    wanted("postgres")
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def spark_cluster() -> Iterator[SparkCluster]:
    """A Spark standalone cluster of two workers."""
    wanted("spark")
    with running_spark({SECRET_VARIABLE: SECRET}) as server:
        yield server


@pytest.fixture(params=["ceph", "webhdfs"])
def any_folder(request: pytest.FixtureRequest) -> Url:
    """An empty folder on each kind of server in turn."""
    if request.param == "ceph":
        return request.getfixturevalue("ceph").bucket() / "f"
    return request.getfixturevalue("hdfs").folder()


@pytest.fixture
def any_options(any_folder: Url, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """The storage options of ``any_folder``."""
    if any_folder.scheme == "s3":
        return {f"s3://{any_folder.parent.name}": request.getfixturevalue("ceph").options}
    hdfs = request.getfixturevalue("hdfs")
    return {str(hdfs.webhdfs): hdfs.options}


@pytest.fixture
def any_store(any_options: dict[str, dict[str, Any]]) -> Store:
    """The store of ``any_folder``."""
    return open_store(StorageOptions(any_options))
