"""HDFS with WebHDFS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from strata.jobs.session.java import find_java
from strata.storage.contracts.url import Url
from tests.support.servers.launch import Server, cache_folder, free_ports, running

__all__ = ["Hdfs", "running_hdfs"]

JARS = "hadoop-2.7.3"
ADMIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Hdfs:
    """A running file system: the processes ``namenode`` and ``datanode`` of its server.

    Attributes:
        server: the processes; ``server.up()`` starts again what was killed.
        webhdfs: its root over HTTP, as fsspec opens it.
        hdfs: its root over Hadoop's own protocol, as the JVM opens it.
    """

    server: Server
    webhdfs: Url
    hdfs: Url

    @property
    def options(self) -> dict[str, Any]:
        """fsspec options of ``webhdfs://``: the user who made the file system."""
        return {"user": "root"}

    def admin(self, *command: str) -> str:
        """Run ``hdfs dfsadmin …``, and return what it prints."""
        environment = self.server.environment
        classes = f"{self.server.folder}/conf:{environment['HDFS_JARS']}/*"
        java = f"{environment['JAVA_HOME']}/bin/java"
        return subprocess.run(
            [java, "-cp", classes, "org.apache.hadoop.hdfs.tools.DFSAdmin", *command],
            env={**os.environ, "HADOOP_USER_NAME": "root"},
            capture_output=True,
            text=True,
            timeout=ADMIN_SECONDS,
            check=True,
        ).stdout

    def folder(self) -> Url:
        """The name of a folder that is not there yet, over WebHDFS."""
        return self.webhdfs / f"f{uuid4().hex[:12]}"


@contextmanager
def running_hdfs() -> Iterator[Hdfs]:
    """Run a name node and a data node."""
    rpc, http, *data = free_ports(5)
    environment = {
        "HDFS_RPC_PORT": str(rpc),
        "HDFS_HTTP_PORT": str(http),
        "HDFS_DATA_PORTS": ",".join(map(str, data)),
        "HDFS_PYTHON": sys.executable,
        "HDFS_JARS": str(cache_folder(JARS)),
        "JAVA_HOME": str(find_java().home),
    }
    with running("hdfs.sh", environment) as server:
        yield Hdfs(
            server, Url.parse(f"webhdfs://127.0.0.1:{http}"), Url.parse(f"hdfs://127.0.0.1:{rpc}")
        )
