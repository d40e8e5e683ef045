"""What every stage shares: its context, its counters and its report."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

import msgspec

from strata.errors import BalanceError
from strata.pipelines.execution.details import StageDetails, read_details
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.attempts import attempt_folder, new_attempt
from strata.storage.layout.file_names import STAGING
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import IoMeter, MeteredStore

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
    "reports_folder",
    "restore",
]

Details_co = TypeVar("Details_co", bound=StageDetails, covariant=True)

# How the counters of two tasks are merged, in the metadata of a field; by default they add up.
_COMBINE: Final = "combine"


class StageStatus(StrEnum):
    """How a stage ended."""

    DONE = "done"
    SKIPPED = "skipped"


class Progress(Protocol):
    """Receives the progress of a stage."""

    def start(self, stage: str, step: str, tasks: int) -> None:
        """A step of a stage begins, with this number of Spark tasks (0: not known)."""

    def finish(self) -> None:
        """The step has ended."""


@dataclass(slots=True)
class Counters:
    """What the tasks of a stage did; counters of several tasks add up.

    A report has the counts of ``io`` beside the other counters; its files go into the access log.
    """

    io: IoMeter = field(default_factory=IoMeter)
    text_bytes: int = 0
    tokens: int = 0
    files_written: int = 0
    task_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_worker_mb: float = field(default=0.0, metadata={_COMBINE: max})
    peak_task_seconds: float = field(default=0.0, metadata={_COMBINE: max})

    def add(self, other: Counters) -> None:
        """Add the counters of one more task; of two peaks the larger one counts."""
        for each in fields(self):
            combine = each.metadata.get(_COMBINE, operator.iadd)
            setattr(self, each.name, combine(getattr(self, each.name), getattr(other, each.name)))

    def by_name(self) -> dict[str, float]:
        """All numbers by name, as in a report."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "io"}
        return self.io.counts() | own


@dataclass(slots=True)
class StageReport(Generic[Details_co]):
    """The account of one stage.

    ``rows_in = rows_out + sum(rejected) + sum(removed)`` holds, or the stage has failed.
    Seconds are wall-clock time, in total and by phase; bytes are bytes on the stores. ``unknown``
    has the details of a stored report that this version does not know.
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
    details: Details_co = field(default_factory=cast("Callable[[], Details_co]", StageDetails))
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def details_by_name(self) -> dict[str, Any]:
        """The details as in a report: plain values, without those that are None."""
        known: dict[str, Any] = msgspec.to_builtins(self.details)
        return known | dict(self.unknown)

    def to_stored(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON; :func:`restore` is the inverse."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        del facts["unknown"]
        own = {"counters": self.counters.by_name(), "details": self.details_by_name()}
        return facts | own

    def check_balance(self) -> None:
        """Raise unless every row is accounted for.

        Raises:
            BalanceError: a row was lost or duplicated; nothing may be published.
        """
        out = self.rows_out + sum(self.rejected.values()) + sum(self.removed.values())
        if out != self.rows_in:
            raise BalanceError(
                f"stage {self.stage}: {self.rows_in:,} rows in, but {self.rows_out:,} out "
                f"+ {sum(self.rejected.values()):,} rejected "
                f"+ {sum(self.removed.values()):,} removed",
                hint="nothing was published; this is a defect, please report it with the run's log",
            )


def restore(report: StageReport[StageDetails], stored: Mapping[str, Any]) -> None:
    """Restore what a stored report has in another shape: counts of I/O, and details.

    Raises:
        msgspec.ValidationError: a count is not a number.
    """
    report.counters.io = msgspec.convert(stored.get("counters", {}), IoMeter)
    read = read_details(report.stage, stored.get("details", {}))
    report.details, report.unknown = read.details, read.unknown


@dataclass(frozen=True, slots=True)
class StageContext:
    """The context of a run: settings, tables, and Spark when it is needed.

    ``meter`` counts what the driver itself reads and writes through ``store``. ``attempt`` tells
    this execution of the run from all others with its id.
    """

    settings: Settings
    corpus: Corpus
    run_id: str
    spark: Callable[[], SparkSession]
    progress: Progress
    meter: IoMeter = field(default_factory=IoMeter)
    attempt: str = field(default_factory=new_attempt)

    @property
    def store(self) -> Store:
        """A store with the credentials of the settings, for the driver or to ship to workers."""
        return MeteredStore(open_store(self.storage_options), self.meter)

    @property
    def storage_options(self) -> StorageOptions:
        """Storage options by URL prefix; their stores refuse what other attempts staged."""
        return replace(StorageOptions.of(self.settings), staging=self.staging)

    @property
    def staging(self) -> Url:
        """Folder for files that live only as long as this attempt of the run."""
        folder = attempt_folder(self.settings.corpus, self.run_id, self.attempt)
        return Url.parse(self.settings.warehouse) / STAGING / folder


def reports_folder(settings: Settings) -> Url:
    """Folder of the reports of a corpus."""
    return Url.parse(settings.warehouse) / settings.corpus / "reports"


class Stopwatch:
    """Measures the seconds since it was created, and those of each phase."""

    def __init__(self) -> None:
        self._start = self._lap = time.monotonic()
        self.phases: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def lap(self, phase: str) -> None:
        """Add the time since the last lap to a phase."""
        now = time.monotonic()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - self._lap
        self._lap = now
