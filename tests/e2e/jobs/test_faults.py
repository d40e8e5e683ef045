"""kill -9 while a run is under way, then the same command again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strata.jobs.session.warm_daemon import DAEMON_MODULE
from tests.support.processes.commands import TIMEOUT, Project

SEED = 20_260
# As a process is started; the JVM has the module among its properties.
DAEMON = f"-m\0{DAEMON_MODULE}\0".encode()
# Parts of the progress lines after which the run is killed, and the longest wait after the line.
MOMENTS = [
    ("shard: read", 4.0),
    ("shard: balance", 1.0),
    ("dedup: shuffle", 5.0),
    ("dedup: shuffle bands, verify buckets: done", 1.0),
    ("tokenize: encode", 2.0),
    ("tokenize: encode, write tokens and clean: done", 0.5),
    ("compress: rewrite", 1.5),
]


def _kill_after(process: subprocess.Popen[str], line: str, delay: float) -> None:
    assert process.stderr is not None
    for said in process.stderr:
        if f": {line}" in said:
            time.sleep(delay)
            break
    # The driver, its JVM and its workers, as when a machine dies.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize(("line", "longest"), MOMENTS)
def test_run_killed_then_again_same_tables(
    project: Project, undisturbed: Project, line: str, longest: float
) -> None:
    delay = random.Random(f"{SEED} {line}").uniform(0, longest)
    process = project.start("run", str(project.file), "--master", "local[2]")
    _kill_after(process, line, delay)

    project.run_all()

    assert project.contents() == undisturbed.contents()


def test_retract_killed_then_resumed_same_tables(project: Project, tmp_path: Path) -> None:
    project.run_all()
    asked = ("retract", str(project.file), "--id", "doc-0", "--id", "doc-3", "--master", "local[2]")
    process = project.start(*asked)
    # Its intent is published by then, and the tables are not.
    _kill_after(process, "retract: rewrite tokens", 0)

    refused = project.run("run", str(project.file), "--master", "local[2]")
    resumed = project.run("retract", str(project.file), "--resume", "--master", "local[2]")

    assert refused.code == 4, refused.err
    assert "--resume" in refused.failure["hint"]
    assert resumed.code == 0, resumed.err
    report = project.run_all()
    assert {stage["status"] for stage in report["stages"]} == {"skipped"}
    other = Project(tmp_path / "other")
    other.run_all()
    done = other.run(*("retract", str(other.file)), *asked[2:])
    assert done.code == 0, done.err
    assert project.contents() == other.contents()
    assert not {"doc-0", "doc-3"} & {row["id"] for row in project.export("documents")}


def test_run_driver_alone_killed_then_again_same_tables(
    project: Project, undisturbed: Project
) -> None:
    process = project.start("run", str(project.file), "--master", "local[2]")
    assert process.stderr is not None
    next(said for said in process.stderr if ": dedup: " in said)
    process.kill()
    process.communicate(timeout=TIMEOUT)

    report = project.run_all()

    assert report["stages"][0]["status"] == "skipped"
    assert project.contents() == undisturbed.contents()


def test_run_python_worker_killed_same_tables(project: Project, undisturbed: Project) -> None:
    process = project.start("run", str(project.file), "--master", "local[2]", "--json")
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one_worker, args=(process.pid, killed))
    killer.start()
    _, err = process.communicate(timeout=TIMEOUT)
    killer.join()

    assert process.returncode == 0, err
    assert killed
    assert project.contents() == undisturbed.contents()


def _kill_one_worker(group: int, killed: list[int]) -> None:
    end = time.monotonic() + TIMEOUT
    while not killed and time.monotonic() < end:
        for worker in _workers(group):
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
            return
        time.sleep(0.05)


def _workers(group: int) -> Iterator[int]:
    """Workers of the run: children of the daemon that PySpark forks them from."""
    facts = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        facts[int(folder.name)] = (int(fields[1]), int(fields[3]), DAEMON in command)
    for pid, (parent, session, is_daemon) in facts.items():
        if is_daemon and session == group and facts.get(parent, (0, 0, False))[2]:
            yield pid
