"""A store, a folder and settings that tests of all lanes share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.opening import open_store

SCHEMES = ("file", "memory", "s3")
SECRET = "a-secret-that-moto-takes"
# Else its assertions would not tell the values that they compare.
pytest.register_assert_rewrite("tests.support")


@pytest.fixture(scope="session", autouse=True)
def _leftovers_are_told() -> Iterator[None]:
    """Collect what the last tests left, while pytest can still report what its finalizers raise.

    After the session, such an error only shows as an exit code.
    """
    yield
    gc.collect()


@pytest.fixture
def store() -> Store:
    """A store without options: local files and memory."""
    return FsspecStore()


@pytest.fixture
def folder(tmp_path: Path) -> Url:
    """An empty local folder."""
    return Url.parse(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a corpus whose warehouse is a local folder."""
    return Settings(
        corpus="web",
        warehouse=str(tmp_path / "warehouse"),
        inputs=({"path": "nothing"},),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """fsspec options of an S3 server on a free port of this machine, with a bucket `bucket`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    os.environ["STRATA_TEST_S3_SECRET"] = SECRET
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    client.close()
    yield {
        "key": "key",
        "secret": "env:STRATA_TEST_S3_SECRET",
        "endpoint_url": endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    server.stop()
    del os.environ["STRATA_TEST_S3_SECRET"]


@pytest.fixture(params=SCHEMES)
def any_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    """An empty folder on each kind of filesystem in turn."""
    roots = {
        "file": str(tmp_path),
        "memory": f"memory://{uuid4().hex}",
        "s3": f"s3://bucket/{uuid4().hex}",
    }
    return Url.parse(roots[request.param])


@pytest.fixture
def any_store(any_folder: Url, request: pytest.FixtureRequest) -> Store:
    """The store of ``any_folder``."""
    if any_folder.scheme != "s3":
        return open_store()
    return open_store(StorageOptions({"s3://bucket": request.getfixturevalue("s3_options")}))


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Leave it to the system when to write: 10 ms less a file, and 20 a commit.

    Only a crash of the machine could tell the difference.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        # A corpus sets the pragma when it connects; a checkout comes after that.
        event.listen(Pool, "checkout", _leave_it_to_the_system)
        yield
        event.remove(Pool, "checkout", _leave_it_to_the_system)


@pytest.fixture
def synced_catalogs() -> Iterator[None]:
    """Catalogs are synced as in a run."""
    event.remove(Pool, "checkout", _leave_it_to_the_system)
    yield
    event.listen(Pool, "checkout", _leave_it_to_the_system)


def _leave_it_to_the_system(connection: Any, *_: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")
