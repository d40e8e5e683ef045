"""A command and all processes that it starts: wall-clock time, and peak memory by role."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Finished", "run_command"]

PROC = Path("/proc")
SAMPLE_SECONDS = 0.1
KIB = 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well.

    Attributes:
        seconds: from its start to its exit.
        stdout: what it wrote.
        peak_mb: the highest resident memory of any process of a role: driver, jvm, worker.
        cpu_seconds: processor time of all processes, up to when each was last seen.
    """

    seconds: float
    stdout: str
    peak_mb: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0


def run_command(command: Sequence[str]) -> Finished:
    """Run a command and watch its processes; Linux alone tells their memory.

    Raises:
        subprocess.CalledProcessError: it failed; its stderr has gone to this process's.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks: dict[str, float] = {}
    used: dict[int, float] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, used, ended), daemon=True)
    watcher.start()
    stdout, _ = process.communicate()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    if process.returncode:
        sys.stdout.write(stdout)
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Finished(seconds, stdout, peaks, sum(used.values()))


def _watch(
    root: int, peaks: dict[str, float], used: dict[int, float], ended: threading.Event
) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        for pid in [root, *_descendants(root)]:
            _note(pid, "driver" if pid == root else None, peaks)
            used[pid] = max(used.get(pid, 0.0), _cpu_seconds(pid))


def _cpu_seconds(pid: int) -> float:
    try:
        # User and system time are the 14th and 15th field; the name in the second may hold blanks.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _note(pid: int, role: str | None, peaks: dict[str, float]) -> None:
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return
    facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmHWM" not in facts:
        return
    role = role or ("jvm" if facts["Name"].strip() == "java" else "worker")
    peak = int(facts["VmHWM"].split()[0]) * KIB / 1e6
    peaks[role] = max(peaks.get(role, 0.0), peak)


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _children(pid: int) -> list[int]:
    try:
        tasks = list((PROC / str(pid) / "task").glob("*/children"))
        return [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        # It has just ended, or one of its threads has.
        return []
