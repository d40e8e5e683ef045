"""The data of the charts of a report page: the funnel of rows, and where the seconds go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strata.jobs.report.figures import per
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import StageDetails
from strata.pipelines.execution.stage import StageReport, StageStatus

__all__ = ["Bar", "FunnelStep", "HistoryRow", "funnel", "run_history", "time_bars"]

# Further reasons are combined into one.
LOSSES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``share`` is its length as a share of the whole, 0 to 1."""

    label: str
    value: float
    share: float
    kind: str


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of the funnel, and the rows lost on the way to the next step, by reason."""

    label: str
    rows: int
    share: float
    losses: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A run of the history; figures that its report lacks are None."""

    run_id: str
    command: str
    started: str
    status: str
    seconds: float
    share: float
    records: int | None
    documents: int | None
    survivors: int | None
    tokens: int | None
    shown: bool


def funnel(report: RunReport) -> tuple[FunnelStep, ...]:
    """The rows from records over documents to survivors, as far as this run moved them.

    A run that appends reads fewer records than the corpus has documents: then the funnel starts
    at the documents.
    """
    done = _done(report)
    shard, last = done.get("shard"), done.get("dedup") or done.get("tokenize")
    counts: list[tuple[str, int, dict[str, int]]] = []
    if shard and (last is None or last.rows_in == shard.rows_out):
        counts.append(("records", shard.rows_in, shard.rejected | shard.removed))
    if shard and last is None:
        counts.append(("documents", shard.rows_out, {}))
    if last:
        losses = last.rejected | last.removed | _contaminated(done, last)
        counts.append(("documents", last.rows_in, losses))
        counts.append(("survivors", _survivors(done, last), {}))
    most = max((rows for _, rows, _ in counts), default=0)
    return tuple(
        FunnelStep(label, rows, per(rows, most) or 0.0, _largest(losses))
        for label, rows, losses in counts
    )


def _contaminated(
    done: Mapping[str, StageReport[StageDetails]], last: StageReport[StageDetails]
) -> dict[str, int]:
    """What tokenize removed of the survivors of dedup, where both ran."""
    number = done["tokenize"].removed.get("contaminated", 0) if "tokenize" in done else 0
    return {"contaminated": number} if number and last is not done["tokenize"] else {}


def _survivors(
    done: Mapping[str, StageReport[StageDetails]], last: StageReport[StageDetails]
) -> int:
    return last.rows_out - sum(_contaminated(done, last).values())


def _done(report: RunReport) -> dict[str, StageReport[StageDetails]]:
    return {stage.stage: stage for stage in report.stages if stage.status is StageStatus.DONE}


def _largest(losses: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(losses.items(), key=lambda item: (-item[1], item[0]))
    shown = {name.replace("_", " "): rows for name, rows in ordered[:LOSSES_SHOWN] if rows}
    rest = sum(rows for _, rows in ordered[LOSSES_SHOWN:])
    return shown | ({"other reasons": rest} if rest else {})


def time_bars(report: RunReport) -> tuple[Bar, ...]:
    """Where the seconds of a run went: Spark's start, the stages, and what is left."""
    known = report.session_seconds + sum(stage.seconds for stage in report.stages)
    rest = "failed stage and the rest" if report.status == "failed" else "all else"
    start = [("Spark's start", report.session_seconds, "session")]
    parts = start if report.session_seconds else []
    parts += [(name, stage.seconds, "stage") for name, stage in _done(report).items()]
    parts.append((rest, max(report.seconds - known, 0.0), "rest"))
    whole = max(report.seconds, known)
    return tuple(Bar(name, value, _length(value, whole), kind) for name, value, kind in parts)


def run_history(history: Sequence[RunReport], shown: RunReport) -> tuple[HistoryRow, ...]:
    """The rows of the history, in the order given; lengths compare the runs' seconds."""
    longest = max((run.seconds for run in history), default=0.0)
    return tuple(_history_row(run, longest, shown) for run in history)


def _history_row(run: RunReport, longest: float, shown: RunReport) -> HistoryRow:
    done = _done(run)
    shard, tokenize = done.get("shard"), done.get("tokenize")
    last = done.get("dedup") or tokenize
    return HistoryRow(
        run_id=run.run_id,
        command=run.command,
        started=run.started,
        status=run.status,
        seconds=run.seconds,
        share=_length(run.seconds, longest),
        records=shard.rows_in if shard else None,
        documents=last.rows_in if last else _rows(run, "documents"),
        survivors=_survivors(done, last) if last else _rows(run, "tokens"),
        tokens=tokenize.counters.tokens if tokenize else None,
        shown=(run.run_id, run.attempt) == (shown.run_id, shown.attempt),
    )


def _rows(run: RunReport, table: str) -> int | None:
    facts = run.tables.get(table)
    return int(facts["rows"]) if facts else None


def _length(value: float, whole: float) -> float:
    return min(max(per(value, whole) or 0.0, 0.0), 1.0)
