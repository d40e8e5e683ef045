"""Runs with the same run id at the same time, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.support.processes.commands import TIMEOUT, Project

COMMON = ("--master", "local[1]", "--run-id", "nightly", "--json", "--set")
NAMES = ("web", "books")


def _wait_until_held(project: Project, process: subprocess.Popen[str]) -> None:
    """Wait until a run says that it is at work on the corpus."""
    while not list((project.folder / "wh/web/running").glob("*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_corpora_of_a_warehouse_at_once_and_a_second_run_of_one_of_them(tmp_path: Path) -> None:
    alone, together = Project(tmp_path / "alone", 20), Project(tmp_path / "together", 20)
    alone.run_all("--set", "dedup.memory_documents=0")
    expected = alone.contents()
    shuffled = (*COMMON, "dedup.memory_documents=0")
    processes = [
        together.start("run", str(together.file), *shuffled, "--set", f"corpus={name}")
        for name in NAMES
    ]
    _wait_until_held(together, processes[0])

    second = together.run("run", str(together.file), *shuffled)

    assert second.code == second.failure["code"] == 4
    assert str(processes[0].pid) in second.failure["hint"]
    assert json.loads(second.out)["status"] == "failed"
    for process in processes:
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == json.loads(err.splitlines()[-1])["code"] == 0, err
        assert json.loads(out)["status"] == "done"
    assert together.contents() == expected
    assert not list((together.folder / "wh" / "_staging").rglob("*.*.parquet"))


def test_run_after_one_that_was_killed_goes_on_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path, 20)
    process = project.start("run", str(project.file), *COMMON, "dedup.memory_documents=0")
    _wait_until_held(project, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)
    assert list((project.folder / "wh/web/running").iterdir())

    done = project.run("shard", str(project.file), *COMMON, "dedup.memory_documents=0")

    assert done.code == 0, done.err
    assert not list((project.folder / "wh/web/running").iterdir())
