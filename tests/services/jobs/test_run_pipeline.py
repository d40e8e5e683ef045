"""The whole pipeline over three tiers: a local folder, Ceph and HDFS."""

from __future__ import annotations

import json
import os
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.catalog import open_corpus
from tests.support.processes.commands import Project
from tests.support.rows import exported
from tests.support.sequential import sequential_context
from tests.support.servers.ceph import Ceph
from tests.support.servers.hdfs import Hdfs
from tests.support.servers.spark import SparkCluster

SECONDS = 240
SETTINGS = """
corpus = "web"
warehouse = "{folder}/wh"
[[inputs]]
path = "{ceph}/in"
source = "ceph"
[[inputs]]
path = "{hdfs}/in"
source = "hdfs"
[tokenize]
train = {{ vocab_size = 400, sample_mb = 0.05 }}
[compress]
tables = ["documents", "clean", "tokens"]
[spark]
"spark.driver.memory" = "1g"
"spark.sql.shuffle.partitions" = 2
"""
TIERS = """
[tiers.hot]
url = "{ceph}/hot"
[tiers.cold]
url = "{hdfs}/cold"
level = 9
[tables]
documents = "cold"
tokens = "hot"
clean = "hot"
[shard]
landing = "hot"
"""


class TieredProject(Project):
    """A project whose inputs are on Ceph and HDFS, and its tables there too if asked for."""

    def __init__(self, folder: Path, places: dict[str, str], tiers: str) -> None:
        self.folder = folder
        self.file = folder / "corpus.toml"
        options = places["options"]
        text = (SETTINGS + tiers).format(folder=folder, **places)
        self.file.write_text(text + options)
        self.settings = Settings.model_validate(tomllib.loads(self.file.read_text()))

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """What the final tables hold, read in this process."""
        context = sequential_context(self.settings)
        with context.corpus:
            tables = ("documents", "clusters", "tokens")
            return {table: exported(context, table) for table in tables}


def _options(ceph: Ceph, hdfs: Hdfs) -> str:
    shown = ""
    for prefix, options in (("s3://", ceph.options), (str(hdfs.webhdfs), hdfs.options)):
        shown += f'[storage_options."{prefix}"]\n'
        shown += "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    return shown


@pytest.fixture(scope="module")
def places(ceph: Ceph, hdfs: Hdfs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Inputs on both servers, and what the settings say of these."""
    local = Project(tmp_path_factory.mktemp("inputs"), 24)
    places = {
        "ceph": str(ceph.bucket()),
        "hdfs": str(hdfs.folder()),
        "options": _options(ceph, hdfs),
    }
    store = FsspecStore(StorageOptions(tomllib.loads(places["options"])["storage_options"]))
    for number, file in enumerate(sorted(local.inputs.iterdir())):
        where = Url.parse(places["hdfs" if number == 1 else "ceph"])
        store.write_bytes(where / f"in/{file.name}", file.read_bytes())
    return places


@pytest.fixture(scope="module")
def expected(
    places: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold where all of them are in a local folder."""
    project = TieredProject(tmp_path_factory.mktemp("local"), places, "")
    project.run_all()
    return project.contents()


def test_run_over_three_tiers_same_tables_and_nothing_left(
    places: dict[str, str], expected: dict[str, list[dict[str, Any]]], tmp_path: Path, ceph: Ceph
) -> None:
    project = TieredProject(tmp_path, places, TIERS)
    report = project.run_all()
    assert {stage["status"] for stage in report["stages"]} == {"done"}
    assert project.contents() == expected
    with open_corpus(project.settings) as corpus:
        schemes = {
            table: {file.location.scheme for file in corpus.table(table).files()}
            for table in ("documents", "clean", "tokens", "clusters")
        }
        assert schemes == {
            "documents": {"webhdfs"},
            "clean": {"s3"},
            "tokens": {"s3"},
            "clusters": {"file"},
        }


def test_run_on_a_cluster_whose_executor_dies_same_tables(
    places: dict[str, str],
    expected: dict[str, list[dict[str, Any]]],
    spark_cluster: SparkCluster,
    ceph: Ceph,
    tmp_path: Path,
) -> None:
    bucket = ceph.bucket()
    tiers = TIERS.replace("{ceph}", str(bucket)).replace("{hdfs}/cold", "{hdfs}/second")
    project = TieredProject(tmp_path, places, tiers)
    process = project.start(
        *("run", str(project.file), "--master", spark_cluster.master),
        *("--set", 'spark."spark.driver.host"="127.0.0.1"'),
        *("--set", 'spark."spark.driver.bindAddress"="127.0.0.1"'),
        env={"SPARK_LOCAL_IP": "127.0.0.1"},
    )
    killed: int | None = None
    said = ""
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if killed is None and "shard: read" in line:
                killed = _kill_one(spark_cluster)
    assert process.returncode == 0, said
    assert killed is not None
    assert project.contents() == expected
    with ceph.client() as client:
        uploads = client.list_multipart_uploads(Bucket=bucket.rest).get("Uploads", [])
    assert uploads == []


def _kill_one(cluster: SparkCluster) -> int:
    end = time.monotonic() + 60
    while not (running := cluster.executors()):
        assert time.monotonic() < end, "no executor came"
        time.sleep(0.05)
    os.kill(running[0], signal.SIGKILL)
    return running[0]
