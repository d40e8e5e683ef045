"""Progress of long steps: a bar on a terminal, a line every few seconds elsewhere.

On a terminal each finished step leaves one line; in a log each line has the time (UTC) and the run.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from rich.progress import TaskID

    from strata.jobs.runner.options import RunOptions
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
# A terminal of 80 columns has room for a bar, the figures, and the longest names of steps.
BAR_WIDTH = 16
STEP_WIDTH = 64


class TaskCount:
    """Counts the Spark tasks of running jobs, finished and all, as far as they are planned.

    Args:
        session: the session, once it is started.
        starting: whether somebody waits for it to start.
    """

    def __init__(
        self,
        session: Callable[[], SparkSession | None],
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session = session
        self._starting = starting

    def note(self) -> str:
        """What a step waits for; empty where it works."""
        return "starting Spark" if self._starting() else ""

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
        if self._stopped():
            self._close()

    def stop(self) -> None:
        """The run ends before the step does, if one is under way."""
        if self._stopped():
            self._break_off()

    def _stopped(self) -> bool:
        if self._thread is None:
            return False
        self._end.set()
        self._thread.join()
        self._thread = None
        return True

    def _poll(self, end: threading.Event) -> None:
        while not end.wait(self._pace.poll):
            note = self._count.note()
            done, known = (0, 0) if note else self._count.read()
            self._show(done, known, note)

    @abstractmethod
    def _begin(self, stage: str, step: str, tasks: int) -> None:
        """Show that a step begins."""

    @abstractmethod
    def _show(self, done: int, known: int, note: str) -> None:
        """Show how many of the known Spark tasks are done, or what the step waits for."""

    @abstractmethod
    def _close(self) -> None:
        """Show that the step has ended."""

    @abstractmethod
    def _break_off(self) -> None:
        """Show that the step did not reach its end."""


class BarProgress(_Polling):
    """A bar on a terminal, and a line for each step that has ended."""

    def __init__(self, count: TaskCount, console: Console) -> None:
        super().__init__(count, PACE)
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._known = 0
        self._step = ""
        self._began = 0.0

    def _begin(self, stage: str, step: str, tasks: int) -> None:
        self._known = tasks
        self._step = f"{stage}: {step}"
        self._began = time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task(self._step, total=tasks or None)
        self._bars.start()

    def _show(self, done: int, known: int, note: str) -> None:
        if self._bars is not None and self._task is not None:
            total = max(known, self._known)
            self._bars.update(
                self._task, completed=done, total=total or None, description=note or self._step
            )

    def _close(self) -> None:
        seconds = f"{time.monotonic() - self._began:,.1f} s"
        room = STEP_WIDTH - len(seconds)
        self._leave(f"{self._step:<{room}}{seconds}")

    def _break_off(self) -> None:
        self._leave(f"{self._step}: not finished")

    def _leave(self, line: str) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LineProgress(_Polling):
    """A line every few seconds, for logs."""

    def __init__(
        self, count: TaskCount, stream: TextIO, run_id: str = "", pace: Pace = PACE
    ) -> None:
        super().__init__(count, pace)
        self._stream = stream
        self._name = f"strata {run_id}".rstrip()
        self._step = ""
        self._tasks = 0
        self._began = self._last = 0.0
        self._note = ""

    def _begin(self, stage: str, step: str, tasks: int) -> None:
        self._step = f"{stage}: {step}"
        self._began = self._last = time.monotonic()
        self._tasks = tasks
        self._say(f"{self._step} (tasks: {tasks:,})" if tasks else self._step)

    def _show(self, done: int, known: int, note: str) -> None:
        now = time.monotonic()
        news, self._note = note and note != self._note, note
        if news or now - self._last >= self._pace.line:
            self._last = now
            # Between two jobs Spark has no tasks.
            total = max(known, self._tasks)
            tasks = f"{done:,}/{total:,} tasks, " if total else ""
            doing = f"{note}, " if note else tasks
            self._say(f"{self._step}: {doing}{now - self._began:.0f} s")

    def _close(self) -> None:
        self._say(f"{self._step}: done in {time.monotonic() - self._began:.1f} s")

    def _break_off(self) -> None:
        self._say(f"{self._step}: not finished after {time.monotonic() - self._began:.1f} s")

    def _say(self, line: str) -> None:
        now = datetime.now(UTC)
        print(f"{now:%Y-%m-%d %H:%M:%S}Z {self._name}: {line}", file=self._stream, flush=True)


class QuietProgress:
    """Shows no progress."""

    def start(self, stage: str, step: str, tasks: int) -> None:
        """A step begins."""

    def finish(self) -> None:
        """A step ends."""

    def stop(self) -> None:
        """The run ends."""


Progress = BarProgress | LineProgress | QuietProgress


def progress_for(count: TaskCount, options: RunOptions) -> Progress:
    """The progress display of a count that suits stderr: a terminal or not."""
    if options.verbosity < 0:
        return QuietProgress()
    if sys.stderr.isatty():
        return BarProgress(count, Console(stderr=True))
    return LineProgress(count, sys.stderr, options.run_id)


def spark_progress(session: LazySession, options: RunOptions) -> Progress:
    """The progress of Spark's tasks; asking for it starts no session."""
    count = TaskCount(lambda: session() if session.started else None, lambda: session.waiting)
    return progress_for(count, options)
