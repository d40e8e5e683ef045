"""A Spark standalone cluster of the installed PySpark."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strata.jobs.session.java import find_java
from tests.support.servers.launch import Server, free_ports, running

__all__ = ["SparkCluster", "running_spark"]

WORKERS = 2


@dataclass(frozen=True, slots=True)
class SparkCluster:
    """A running cluster: the processes ``master``, ``worker1`` and ``worker2`` of its server.

    Attributes:
        server: the processes.
        master: address for ``--master``.
        java_home: the Java that the workers run.
    """

    server: Server
    master: str
    java_home: Path

    def executors(self) -> list[int]:
        """Process ids of the executors that run now."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and self._is_executor(entry)
        ]

    def _is_executor(self, entry: Path) -> bool:
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            return False
        # Beside other clusters of the machine, its driver address alone tells nothing.
        worker = b"CoarseGrainedExecutorBackend" in command
        return worker and str(self.server.folder).encode() in command


@contextmanager
def running_spark(secrets: Mapping[str, str]) -> Iterator[SparkCluster]:
    """Run a master and two workers of one core each; executors have ``secrets`` by environment."""
    port, interface = free_ports(2)
    spec = importlib.util.find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    java = find_java().home
    environment = {
        "SPARK_HOME": str(Path(spec.origin).parent),
        "JAVA_HOME": str(java),
        "SPARK_PORT": str(port),
        "SPARK_UI_PORT": str(interface),
        "SPARK_WORKERS": str(WORKERS),
        **secrets,
    }
    with running("spark.sh", environment) as server:
        yield SparkCluster(server, f"spark://127.0.0.1:{port}", java)
