"""Running stages: one context, one report, whatever the outcome."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from strata.errors import InputMissingError, StrataError
from strata.jobs.runner.failures import translated
from strata.jobs.runner.options import RunOptions
from strata.jobs.runner.progress import spark_progress
from strata.jobs.session.signals import HINT, interruption_of
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.details import StageDetails
from strata.pipelines.execution.stage import (
    StageContext,
    StageReport,
    StageStatus,
    Stopwatch,
    reports_folder,
    restore,
)
from strata.pipelines.stages.preflight import find_problems, raise_problems
from strata.settings import Settings
from strata.stages import STAGES, stages_of_command
from strata.storage.contracts.url import Url
from strata.storage.integrity.missing_files import missing_files
from strata.storage.layout.records import TableFile
from strata.storage.lifecycle.accesses import log_reads
from strata.storage.lifecycle.usage import tier_of_file
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.writing.tiers import Tier, tiers_of
from strata.version import VERSION

__all__ = ["RunReport", "Stage", "run_stages"]

Stage = Callable[[StageContext], StageReport[StageDetails] | None]
Details = TypeVar("Details", bound=StageDetails)
REPORT_VERSION = 1


@dataclass(slots=True)
class RunReport:
    """The account of a run; it is stored as JSON in the warehouse."""

    run_id: str
    command: str
    corpus: str
    started: str
    version: str = VERSION
    report_version: int = REPORT_VERSION
    status: str = "running"
    seconds: float = 0.0
    session_seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    stages: list[StageReport[StageDetails]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    location: str = ""

    def stage(self, name: str) -> StageReport[StageDetails] | None:
        """The report of a stage; None where the run did not reach it."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    def details_of(self, kind: type[Details]) -> Details | None:
        """The details of the stage that has this kind; None where the run did not reach it."""
        return next((s.details for s in self.stages if isinstance(s.details, kind)), None)

    def to_json(self) -> bytes:
        """The report as JSON."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        facts["stages"] = [stage.to_stored() for stage in self.stages]
        return msgspec.json.format(msgspec.json.encode(facts), indent=2)

    @classmethod
    def from_json(cls, data: bytes) -> RunReport:
        """Read a report that this version, an older or a newer one has stored.

        Raises:
            msgspec.MsgspecError: it is damaged.
        """
        report = msgspec.json.decode(data, type=cls)
        stored = msgspec.json.decode(data).get("stages", ())
        for stage, each in zip(report.stages, stored, strict=True):
            restore(stage, each)
        return report


def run_stages(
    settings: Settings,
    stages: Sequence[Stage],
    options: RunOptions,
    session: LazySession,
) -> RunReport:
    """Run stages one after the other and store the report, even if one fails.

    Args:
        settings: the corpus.
        stages: the stages to run.
        options: the options of the run.
        session: started or not; it is stopped at the end.
    """
    watch = Stopwatch()
    report = _new_report(settings, options)
    progress = spark_progress(session, options)
    context = StageContext(settings, open_to_write(settings), options.run_id, session, progress)
    try:
        raise_problems(find_problems(context, _names_of(options.command)))
        for stage in stages:
            before = session.seconds
            done = stage(context)
            if done is not None:
                # The stage that needs Spark first is not charged for its start.
                done.seconds -= session.seconds - before
                report.stages.append(done)
                if done.status == StageStatus.SKIPPED:
                    _check_files(context.corpus, done.stage)
        report.status = "done"
        progress.finish()
    except BaseException as error:
        report.status = "failed"
        report.error = _error(error)
        raise
    finally:
        progress.stop()
        report.session_seconds = session.seconds
        report.machine["parallelism"] = session.parallelism
        session.stop()
        report.seconds = watch.seconds
        _store(context, report)
    return report


def _names_of(command: str) -> list[str]:
    """Names of the stages of a run; ``command`` may be several, as the Python API gives them."""
    return [stage.name for each in command.split(", ") for stage in stages_of_command(each)]


def _check_files(corpus: Corpus, stage: str) -> None:
    """Check that the files of a stage that is up to date are there.

    Raises:
        InputMissingError: some are not.
    """
    declared = STAGES.get(stage)
    if declared is None:
        return
    missing = missing_files(corpus, dict.fromkeys((*declared.reads, *declared.writes)))
    if missing:
        first = missing[0]
        raise InputMissingError(
            f"{stage} is up to date, but {len(missing):,} of the files that it stands on are "
            f"gone; the first, of table {first.table}, is {first.file.url}",
            hint="`strata storage verify FILE` lists them, and --repair rebuilds what it can",
        )


def _store(context: StageContext, report: RunReport) -> None:
    try:
        if report.status == "done":
            report.tables = table_facts(context)
        context.store.write_bytes(Url.parse(report.location), report.to_json())
        _log_accesses(context, report.stages)
        context.corpus.write_marks()
    except StrataError as error:
        # What made the run fail, such as a full disk, often makes its report fail too.
        if report.status == "done":
            raise
        report.location = ""
        sys.stderr.write(f"strata: the report of this run could not be stored: {error}\n")


def _log_accesses(context: StageContext, stages: Sequence[StageReport[StageDetails]]) -> None:
    total = sum((stage.counters.io for stage in stages), context.meter)
    log_reads(context.corpus, context.run_id, total.files)


def _new_report(settings: Settings, options: RunOptions) -> RunReport:
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    return RunReport(
        run_id=options.run_id,
        command=options.command,
        corpus=settings.corpus,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        location=str(reports_folder(settings) / f"{options.run_id}.json"),
    )


def table_facts(context: StageContext) -> dict[str, dict[str, Any]]:
    """Rows, bytes, files, tiers and folder of each table that has any."""
    facts, tiers = {}, tiers_of(context.settings)
    for name in context.corpus.existing_tables():
        files = context.corpus.table(name).files()
        facts[name] = {
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.n_bytes for file in files),
            "files": len(files),
            "tier": _tiers(files, tiers) or context.settings.tier_of(name),
            "location": str(files[0].folder) if files else "",
        }
    return facts


def _tiers(files: Sequence[TableFile], tiers: Mapping[str, Tier]) -> str:
    """The tiers that files are in, those with the most bytes first."""
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[tier_of_file(file, tiers)] += file.n_bytes
    return ", ".join(name for name, _ in sizes.most_common())


def _error(error: BaseException) -> dict[str, Any]:
    if stopped := interruption_of(error):
        return {"type": type(stopped).__name__, "reason": stopped.reason, "hint": HINT}
    known = translated(error)
    if known is None:
        return {"type": type(error).__name__, "reason": _told(error)}
    return {"type": type(known).__name__, "reason": _told(known.reason), "hint": _told(known.hint)}


def _told(error: object) -> str:
    """The words of an error; a name of a file that is not UTF-8 has surrogates, JSON has none."""
    return str(error)[:2000].encode(errors="backslashreplace").decode()
