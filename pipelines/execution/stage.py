"""What every stage shares: its surroundings, its counters and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from strata.errors import BalanceError
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import FileReads, IoMeter, MeteredStore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from strata.storage.tables.catalog import Corpus

__all__ = [
    "Counters",
    "Progress",
    "StageContext",
    "StageReport",
    "StageStatus",
    "Stopwatch",
    "add_reads",
    "reports_folder",
]


class StageStatus(StrEnum):
    """How a stage ended."""

    DONE = "done"
    SKIPPED = "skipped"


class Progress(Protocol):
    """Where a stage says how far it is."""

    def start(self, stage: str, step: str, tasks: int) -> None:
        """A step of a stage begins, of so many Spark tasks (0: not known)."""

    def finish(self) -> None:
        """The step has ended."""


@dataclass(slots=True)
class Counters:
    """What the tasks of a stage did; counters of several tasks add up.

    ``file_reads`` has the data files that they read, by name; it goes into the access log, not into
    the report.
    """

    bytes_read: int = 0
    bytes_written: int = 0
    read_requests: int = 0
    write_requests: int = 0
    retries: int = 0
    failovers: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0
    cache_faults: int = 0
    text_bytes: int = 0
    tokens: int = 0
    files_written: int = 0
    task_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_worker_mb: float = 0.0
    peak_task_seconds: float = 0.0
    file_reads: dict[str, FileReads] = field(default_factory=dict)

    def add(self, other: Counters) -> None:
        """Add the counters of one more task; of a peak the larger counts."""
        add_reads(self.file_reads, other.file_reads)
        for name in self.__slots__:
            if name == "file_reads":
                continue
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, theirs) if name.startswith("peak") else mine + theirs)


def add_reads(reads: dict[str, FileReads], more: Mapping[str, FileReads]) -> None:
    """Add reads of data files to others."""
    for name, each in more.items():
        reads[name] = reads.get(name, FileReads()) + each


@dataclass(slots=True)
class StageReport:
    """The account of one stage.

    ``rows_in = rows_out + sum(rejected) + sum(removed)`` holds, or the stage has failed.
    Seconds are wall-clock time, in all and by phase; bytes are bytes on the stores.
    """

    stage: str
    key: str
    status: StageStatus = StageStatus.DONE
    rows_in: int = 0
    rows_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    details: dict[str, Any] = field(default_factory=dict)

    def check_balance(self) -> None:
        """Raise unless every row is accounted for.

        Raises:
            BalanceError: a row was lost or doubled; nothing may be published.
        """
        out = self.rows_out + sum(self.rejected.values()) + sum(self.removed.values())
        if out != self.rows_in:
            raise BalanceError(
                f"stage {self.stage}: {self.rows_in:,} rows in, but {self.rows_out:,} out "
                f"+ {sum(self.rejected.values()):,} rejected "
                f"+ {sum(self.removed.values()):,} removed",
                hint="nothing was published; this is a defect, please report it with the run's log",
            )


@dataclass(frozen=True, slots=True)
class StageContext:
    """The surroundings of a run: settings, tables, and Spark when it is needed.

    ``meter`` counts what the driver itself reads and writes through ``store``.
    """

    settings: Settings
    corpus: Corpus
    run_id: str
    spark: Callable[[], SparkSession]
    progress: Progress
    meter: IoMeter = field(default_factory=IoMeter)

    @property
    def store(self) -> Store:
        """A store with the credentials of the settings, for the driver or to ship to workers."""
        return MeteredStore(open_store(self.storage_options), self.meter)

    @property
    def storage_options(self) -> StorageOptions:
        """Storage options by URL prefix."""
        return StorageOptions.of(self.settings)


def reports_folder(settings: Settings) -> Url:
    """Folder of the reports of a corpus."""
    return Url.parse(settings.warehouse) / settings.corpus / "reports"


class Stopwatch:
    """Seconds since it was made, and those of each phase."""

    def __init__(self) -> None:
        self._start = self._lap = time.monotonic()
        self.phases: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def lap(self, phase: str) -> None:
        """Count the time since the last lap to a phase."""
        now = time.monotonic()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - self._lap
        self._lap = now
