"""Progress of long steps: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from rich.progress import TaskID

    from strata.jobs.session.spark import LazySession

__all__ = [
    "BarProgress",
    "LineProgress",
    "Pace",
    "QuietProgress",
    "TaskCount",
    "progress_for",
    "spark_progress",
]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often Spark is asked for its tasks, and how often a line tells of them: seconds."""

    poll: float = 0.5
    line: float = 5.0


PACE = Pace()


class TaskCount:
    """Counts the Spark tasks of running jobs, finished and all, as far as they are planned."""

    def __init__(self, session: Callable[[], SparkSession | None]) -> None:
        self._session = session

    def read(self) -> tuple[int, int]:
        """Finished tasks and known tasks."""
        session = self._session()
        if session is None:
            return 0, 0
        tracker = session.sparkContext.statusTracker()
        stages = [
            info
            for job in tracker.getActiveJobsIds()
            if (details := tracker.getJobInfo(job)) is not None
            for stage in details.stageIds
            if (info := tracker.getStageInfo(stage)) is not None
        ]
        return sum(s.numCompletedTasks for s in stages), sum(s.numTasks for s in stages)


class _Polling(ABC):
    """Polls the task count in a separate thread while a step runs."""

    def __init__(self, count: TaskCount, pace: Pace) -> None:
        self._count = count
        self._pace = pace
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, stage: str, step: str, tasks: int) -> None:
        """A step begins."""
        self.finish()
        self._end = threading.Event()
        self._begin(stage, step, tasks)
        self._thread = threading.Thread(target=self._poll, args=(self._end,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The step has ended."""
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self._thread = None
            self._close()

    def _poll(self, end: threading.Event) -> None:
        while not end.wait(self._pace.poll):
            done, known = self._count.read()
            self._show(done, known)

    @abstractmethod
    def _begin(self, stage: str, step: str, tasks: int) -> None:
        """Show that a step begins."""

    @abstractmethod
    def _show(self, done: int, known: int) -> None:
        """Show how many of the known Spark tasks are done."""

    @abstractmethod
    def _close(self) -> None:
        """Show that the step has ended."""


class BarProgress(_Polling):
    """A bar on a terminal."""

    def __init__(self, count: TaskCount, console: Console) -> None:
        super().__init__(count, PACE)
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._known = 0

    def _begin(self, stage: str, step: str, tasks: int) -> None:
        self._known = tasks
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task(f"{stage}: {step}", total=tasks or None)
        self._bars.start()

    def _show(self, done: int, known: int) -> None:
        if self._bars is not None and self._task is not None:
            total = max(known, self._known)
            self._bars.update(self._task, completed=done, total=total or None)

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()


class LineProgress(_Polling):
    """A line every few seconds, for logs."""

    def __init__(self, count: TaskCount, stream: TextIO, pace: Pace = PACE) -> None:
        super().__init__(count, pace)
        self._stream = stream
        self._step = ""
        self._tasks = 0
        self._began = self._last = 0.0

    def _begin(self, stage: str, step: str, tasks: int) -> None:
        self._step = f"{stage}: {step}"
        self._began = self._last = time.monotonic()
        self._tasks = tasks
        self._say(f"{self._step} (tasks: {tasks:,})" if tasks else self._step)

    def _show(self, done: int, known: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._pace.line:
            self._last = now
            # Between two jobs Spark has no tasks.
            total = max(known, self._tasks)
            tasks = f"{done:,}/{total:,} tasks, " if total else ""
            self._say(f"{self._step}: {tasks}{now - self._began:.0f} s")

    def _close(self) -> None:
        self._say(f"{self._step}: done in {time.monotonic() - self._began:.1f} s")

    def _say(self, line: str) -> None:
        print(f"strata: {line}", file=self._stream, flush=True)


class QuietProgress:
    """Shows no progress."""

    def start(self, stage: str, step: str, tasks: int) -> None:
        """A step begins."""

    def finish(self) -> None:
        """A step ends."""


Progress = BarProgress | LineProgress | QuietProgress


def progress_for(count: TaskCount, verbosity: int) -> Progress:
    """The progress display of a count that suits stderr: a terminal or not."""
    if verbosity < 0:
        return QuietProgress()
    if sys.stderr.isatty():
        return BarProgress(count, Console(stderr=True))
    return LineProgress(count, sys.stderr)


def spark_progress(session: LazySession, verbosity: int) -> Progress:
    """The progress of Spark's tasks; asking for it starts no session."""
    count = TaskCount(lambda: session() if session.started else None)
    return progress_for(count, verbosity)
