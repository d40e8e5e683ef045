"""The report of a run as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from strata.jobs.display.text import size
from strata.jobs.report import figures
from strata.jobs.report.charts import funnel, run_history, time_bars
from strata.jobs.report.duplicates import duplicates_of
from strata.jobs.report.notes import error_bars
from strata.jobs.report.summary import compression_ratio
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import MoveDetails, ShardDetails, StageDetails
from strata.pipelines.execution.stage import StageReport, StageStatus
from strata.stages import STAGES

__all__ = ["render_page"]

TEMPLATE = "report.html.j2"
# Details that have a section of their own on the page.
OWN_SECTION = frozenset({"duplicates"})


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure, and a line below it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table of the corpus and its share of all bytes."""

    name: str
    rows: int
    files: int
    n_bytes: int
    share: float
    tier: str
    place: str


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What a stage reports about itself, by name."""

    stage: str
    facts: tuple[tuple[str, str], ...]


def render_page(report: RunReport, history: Sequence[RunReport]) -> str:
    """Render a run as HTML.

    Args:
        report: the run.
        history: the latest runs of the corpus, newest first; the run may be among them.

    Returns:
        A whole page: no script, no font, image or style from another address.
    """
    return _template().render(
        report=report,
        verdict=verdict(report),
        started=_moment(report.started),
        tiles=tuple(_tiles(report)),
        stages=report.stages,
        metrics=figures.metric_rows(report),
        steps=funnel(report),
        appended=_appended(report),
        bars=time_bars(report),
        duplicates=duplicates_of(report),
        tables=_tables(report),
        details=tuple(map(_details, filter(_has_details, report.stages))),
        past=run_history(history, report),
    )


@cache
def _template() -> Template:
    # No file-system loader: the template may be in a zip that Spark ships.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("clock", "compact", "count", "decimal", "megabytes", "percent"):
        environment.filters[name] = getattr(figures, name)
    environment.filters["size"] = size
    environment.filters["moment"] = _moment
    environment.filters["place"] = _place
    source = files("strata.jobs.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source)


def verdict(report: RunReport) -> str:
    """The run in one sentence."""
    took = figures.clock(report.seconds)
    if report.status == "failed":
        return f"{_failed_stage(report)} failed after {took}."
    if report.status != "done":
        return f"The run is {report.status}, {took} so far."
    if report.stages and all(stage.status is StageStatus.SKIPPED for stage in report.stages):
        return f"Everything was up to date; nothing was done, in {took}."
    steps = funnel(report)
    tokens = sum(stage.counters.tokens for stage in report.stages)
    rows = " became ".join(f"{step.rows:,} {step.label}" for step in (steps[:1] + steps[-1:]))
    move = report.details_of(MoveDetails) or MoveDetails()
    moved = sum(pair.files for pair in move.moves or ())
    facts = (
        rows,
        f"{figures.compact(tokens)} tokens" if tokens else "",
        f"{moved:,} files moved" if moved else "",
    )
    parts = [fact for fact in facts if fact]
    return f"{' and '.join(parts) or 'All stages ended well'} in {took}."


def _failed_stage(report: RunReport) -> str:
    if report.command != "run":
        return f"Stage {report.command}"
    finished = [stage.stage for stage in report.stages]
    # Where a stage shares its command with another, it may have had nothing to do.
    expected = [each.name for each in STAGES.values() if each.name == each.command]
    stage = next((name for name in expected if name not in finished), None)
    return f"Stage {stage}" if stage else "The run"


def _tiles(report: RunReport) -> Iterator[Tile]:
    start = f"{figures.clock(report.session_seconds)} of it Spark's start"
    yield Tile("total time", figures.clock(report.seconds), start if report.session_seconds else "")
    steps = funnel(report)
    if steps:
        kept = f"{figures.percent(steps[-1].share)} of {steps[0].rows:,} {steps[0].label}"
        yield Tile(steps[-1].label, f"{steps[-1].rows:,}", kept)
    for bar in error_bars(report):
        yield Tile(bar.label, bar.value, f"{bar.interval} {bar.meaning}")
    yield from _token_tile(report)
    if ratio := compression_ratio(report):
        yield Tile("compression", f"{ratio:.2f} : 1", "text of documents to files on disk")
    if report.tables:
        n_bytes = sum(int(facts["bytes"]) for facts in report.tables.values())
        n_files = sum(int(facts["files"]) for facts in report.tables.values())
        note = f"{n_files:,} files, {len(report.tables)} tables"
        yield Tile("on disk", f"{figures.megabytes(n_bytes)} MB", note)


def _token_tile(report: RunReport) -> Iterator[Tile]:
    stage = next((stage for stage in report.stages if stage.counters.tokens), None)
    if stage is None:
        return
    tokens = stage.counters.tokens
    rate = figures.per(tokens, stage.seconds)
    bits = int(report.tables.get("tokens", {}).get("bytes", 0)) * 8 / tokens
    notes = [f"{figures.compact(rate)}/s"] if rate else []
    notes += [f"{bits:.1f} bits each on disk"] if bits else []
    yield Tile("tokens", figures.compact(tokens), ", ".join(notes))


def _appended(report: RunReport) -> int:
    shard, details = report.stage("shard"), report.details_of(ShardDetails)
    return shard.rows_out if shard and details and details.mode == "append" else 0


def _tables(report: RunReport) -> tuple[TableRow, ...]:
    whole = sum(int(facts["bytes"]) for facts in report.tables.values())
    return tuple(_table(name, facts, whole) for name, facts in report.tables.items())


def _table(name: str, facts: Mapping[str, Any], whole: int) -> TableRow:
    rows, n_files, n_bytes = (int(facts[key]) for key in ("rows", "files", "bytes"))
    share = figures.per(n_bytes, whole) or 0.0
    place = _place(str(facts["location"]))
    return TableRow(name, rows, n_files, n_bytes, share, str(facts["tier"]), place)


def _has_details(stage: StageReport[StageDetails]) -> bool:
    return bool(stage.key or stage.details_by_name())


def _details(stage: StageReport[StageDetails]) -> StageFacts:
    key = (("content key", stage.key),) if stage.key else ()
    phases = {"seconds": stage.phases} if stage.phases else {}
    told = stage.details_by_name()
    plain = {name: value for name, value in told.items() if name not in OWN_SECTION}
    return StageFacts(stage.stage, key + tuple(_flat({**plain, **phases})))


def _flat(details: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in details.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{label} · ")
        else:
            yield label, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: figures.NOTHING}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, (list, tuple)):
        mark = "; " if any(isinstance(each, Mapping) for each in value) else ", "
        return mark.join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        pairs = [f"{key.replace('_', ' ')} {_text(each)}" for key, each in value.items()]
        return ", ".join(pairs) or "none"
    return str(value)


def _place(url: str) -> str:
    return url.removeprefix("file://")


def _moment(stamp: str) -> str:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
