"""A store, a folder and settings that tests of all lanes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strata.settings import Settings
from strata.storage.store import FsspecStore, Store
from strata.storage.url import Url

SECRET = "a-secret-that-moto-takes"
# Else its assertions would not tell the values that they compare.
pytest.register_assert_rewrite("tests.catalogs", "tests.stores", "tests.uploads")


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
