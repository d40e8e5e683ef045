"""A daemon that waits beside the JVM, and the process that Spark starts for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strata.jobs.session.warm_daemon import DAEMON_MODULE, WarmDaemon
from strata.jobs.session.worker_daemon import WAITING


def handed_over(place: Path, folder: Path) -> subprocess.Popen[bytes]:
    """What Spark starts: a daemon that is to find the one that waits."""
    return subprocess.Popen(
        [sys.executable, "-m", DAEMON_MODULE, "pyspark.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, WAITING: str(place)},
        cwd=folder,
    )


def port_of(daemon: subprocess.Popen[bytes]) -> int:
    """What a daemon tells Spark first."""
    assert daemon.stdout is not None
    return int.from_bytes(daemon.stdout.read(4), "big")


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> Iterator[WarmDaemon]:
    monkeypatch.delenv(WAITING, raising=False)
    daemon = WarmDaemon.start({})
    assert daemon is not None
    yield daemon
    daemon.stop()
    assert not daemon.folder.exists()
    assert daemon.process.returncode is not None


def test_warm_daemon_takes_over_the_pipes_of_spark(warm: WarmDaemon, tmp_path: Path) -> None:
    with handed_over(warm.folder / "socket", tmp_path) as asked:
        port = port_of(asked)
        with socket.create_connection(("127.0.0.1", port)) as link:
            # The answer is the process id of a worker, forked from the daemon that waited.
            worker = Path("/proc") / str(int.from_bytes(link.recv(4), "big"))
            parent = int((worker / "stat").read_text().rpartition(")")[2].split()[1])
        asked.stdin.close()

    assert parent == warm.process.pid
    assert asked.returncode == 0
    # As when Spark closes the pipe of a daemon of its own.
    warm.process.wait(60)


def test_warm_daemon_second_asker_serves_itself(warm: WarmDaemon, tmp_path: Path) -> None:
    place = warm.folder / "socket"
    with handed_over(place, tmp_path) as first, handed_over(place, tmp_path) as second:
        assert port_of(first) != port_of(second)
        first.stdin.close()
        second.stdin.close()


def test_warm_daemon_never_asked_ends_with_its_driver(warm: WarmDaemon) -> None:
    warm.process.stdin.close()

    assert warm.process.wait(60) == 0


def test_warm_daemon_killed_ends_who_stands_in_for_it(warm: WarmDaemon, tmp_path: Path) -> None:
    with handed_over(warm.folder / "socket", tmp_path) as asked:
        port_of(asked)
        warm.process.kill()

        assert asked.wait(60) == 0
