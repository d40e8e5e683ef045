"""A signal that ends a run: in local mode and under spark-submit, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strata.jobs.session.shipping import build_archive
from tests.support.processes.bare_python import make_bare_python
from tests.support.processes.commands import TIMEOUT, Project
from tests.support.processes.submitting import submit_command, submit_environment

MARK = "STRATA_TEST_OF_SIGNALS"
SHARD = "shard: read"
# The JVM is gone shortly after the command, which has closed its input.
LEFT_SECONDS = 10.0


def _send_after(
    process: subprocess.Popen[str], lines: Any, send: Callable[[int, int], None], number: int
) -> tuple[str, str]:
    next(line for line in lines if SHARD in line)
    send(process.pid, number)
    return process.communicate(timeout=TIMEOUT)


def _left(mark: str) -> list[str]:
    """Commands of the processes that have a mark in their environment, once most have ended."""
    end = time.monotonic() + LEFT_SECONDS
    while (found := _marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found


def _report(project: Project) -> dict[str, Any]:
    (file,) = (project.folder / "wh/web/reports").glob("*.json")
    report: dict[str, Any] = json.loads(file.read_bytes())
    return report


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (os.killpg, signal.SIGTERM, 143),
        (os.kill, signal.SIGHUP, 129),
        (os.killpg, signal.SIGINT, 130),
    ],
)
def test_run_ended_by_a_signal_reports_and_goes_on(
    project: Project,
    undisturbed: Project,
    send: Callable[[int, int], None],
    number: int,
    code: int,
) -> None:
    mark = project.folder.name
    process = project.start("run", str(project.file), "--master", "local[2]", env={MARK: mark})
    assert process.stderr is not None
    _, err = _send_after(process, process.stderr, send, number)

    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "Exception" not in err
    line = json.loads(err.strip().splitlines()[-1])
    assert line["code"] == code
    assert line["retryable"] is True
    report = _report(project)
    assert report["status"] == "failed"
    assert report["error"]["reason"] == line["reason"]
    assert _left(mark) == []
    project.run_all()
    assert project.contents() == undisturbed.contents()


def test_submit_ended_by_sigterm_reports(project: Project, tmp_path: Path) -> None:
    python = make_bare_python(tmp_path / "bare")
    archive = build_archive(tmp_path / "strata.zip")
    mark = project.folder.name
    process = subprocess.Popen(
        submit_command(archive, "run_pipeline", "--conf-file", str(project.file)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=project.folder,
        env=submit_environment(python) | {MARK: mark},
        start_new_session=True,
    )
    assert process.stdout is not None
    # In client mode spark-submit sends a script's stderr to its own stdout.
    out, _ = _send_after(process, process.stdout, os.kill, signal.SIGTERM)

    assert process.returncode == 143, out
    assert "Traceback" not in out
    assert json.loads(out.strip().splitlines()[-1])["code"] == 143
    assert _report(project)["error"]["reason"] == "ended by SIGTERM"
    assert _left(mark) == []
