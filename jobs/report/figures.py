"""What a report page says in numbers: the rates of a stage, and how figures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from strata.jobs.display.text import MB
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import StageReport, StageStatus

__all__ = [
    "MetricRow",
    "clock",
    "compact",
    "count",
    "decimal",
    "megabytes",
    "metric_rows",
    "per",
    "percent",
]

NOTHING = "–"
# Most stages have none of these figures; a line without any is left out.
OPTIONAL = frozenset({"Stores", "Text"})


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the table of stages, with a cell for each stage.

    Attributes:
        group: heading that the line stands below.
        label: what is measured, with its unit.
        cells: the figures as text, in the order of the stages.
        part: whether the line is a part of the line above it.
    """

    group: str
    label: str
    cells: tuple[str, ...]
    part: bool = False


@dataclass(frozen=True, slots=True)
class _Metric:
    group: str
    label: str
    value: Callable[[StageReport, int], float | None]
    write: Callable[[float | None], str]


def per(amount: float, divisor: float) -> float | None:
    """A ratio, or None where there is nothing to divide by."""
    return amount / divisor if divisor > 0 else None


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return NOTHING if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """A number of about three digits."""
    if value is None:
        return NOTHING
    return (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:,.1f}"
        if abs(value) >= 1
        else f"{value:.2g}"
    )


def megabytes(n_bytes: float | None) -> str:
    """Bytes as MB (10^6)."""
    return decimal(None if n_bytes is None else n_bytes / MB)


def percent(share: float | None) -> str:
    """A share of one as per cent."""
    return NOTHING if share is None else f"{share:.1%}"


def compact(value: float | None) -> str:
    """A large number in short: 28.2 M."""
    if value is None:
        return NOTHING
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / min(size, 1e3 if letter == 'k' else size):,.1f} {letter}"
    return f"{value:,.0f}"


def clock(seconds: float | None) -> str:
    """A duration: 32.2 s, 4 min 07 s, 2 h 05 min."""
    if seconds is None:
        return NOTHING
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


METRICS = (
    _Metric("Rows", "in", lambda s, _: s.rows_in, count),
    _Metric("Rows", "out", lambda s, _: s.rows_out, count),
    _Metric("Rows", "rejected", lambda s, _: sum(s.rejected.values()), count),
    _Metric("Rows", "removed", lambda s, _: sum(s.removed.values()), count),
    _Metric("Rows", "unaccounted for", lambda s, _: _unaccounted(s), count),
    _Metric("Reading", "MB", lambda s, _: s.counters.bytes_read, megabytes),
    _Metric("Reading", "MB/s", lambda s, _: per(s.counters.bytes_read, s.seconds), megabytes),
    _Metric("Reading", "requests", lambda s, _: s.counters.read_requests, count),
    _Metric(
        "Reading",
        "requests per MB",
        lambda s, _: per(s.counters.read_requests, s.counters.bytes_read / MB),
        decimal,
    ),
    _Metric("Writing", "MB", lambda s, _: s.counters.bytes_written, megabytes),
    _Metric("Writing", "MB/s", lambda s, _: per(s.counters.bytes_written, s.seconds), megabytes),
    _Metric("Writing", "files", lambda s, _: s.counters.files_written, count),
    _Metric("Writing", "requests", lambda s, _: s.counters.write_requests, count),
    _Metric(
        "Writing",
        "requests per MB",
        lambda s, _: per(s.counters.write_requests, s.counters.bytes_written / MB),
        decimal,
    ),
    _Metric("Stores", "requests sent again", lambda s, _: s.counters.retries or None, count),
    _Metric("Stores", "changes of endpoint", lambda s, _: s.counters.failovers or None, count),
    _Metric("Stores", "MB from the cache", lambda s, _: s.counters.cache_bytes or None, megabytes),
    _Metric("Stores", "cache hits", lambda s, _: _hit_share(s), percent),
    _Metric("Stores", "cache faults", lambda s, _: s.counters.cache_faults or None, count),
    _Metric("Text", "MB of text", lambda s, _: s.counters.text_bytes or None, megabytes),
    _Metric(
        "Text",
        "MB of text/s",
        lambda s, _: per(s.counters.text_bytes, s.seconds) or None,
        megabytes,
    ),
    _Metric("Text", "tokens", lambda s, _: s.counters.tokens or None, count),
    _Metric("Text", "tokens/s", lambda s, _: per(s.counters.tokens, s.seconds) or None, count),
    _Metric("Machine", "seconds", lambda s, _: s.seconds, decimal),
    _Metric("Machine", "task seconds", lambda s, _: s.counters.task_seconds, decimal),
    _Metric("Machine", "CPU seconds", lambda s, _: s.counters.cpu_seconds, decimal),
    _Metric(
        "Machine",
        "CPU use",
        lambda s, cores: per(s.counters.cpu_seconds, s.seconds * cores),
        percent,
    ),
    _Metric(
        "Machine",
        "longest task seconds",
        lambda s, _: s.counters.peak_task_seconds or None,
        decimal,
    ),
    _Metric("Machine", "peak worker MB", lambda s, _: s.counters.peak_worker_mb or None, count),
)


def metric_rows(report: RunReport) -> tuple[MetricRow, ...]:
    """The table of stages: every figure of every stage; a skipped stage has none."""
    return tuple(
        _metric_rows(
            report.stages,
            int(report.machine.get("parallelism") or report.machine.get("cores") or 0),
        )
    )


def _metric_rows(stages: Sequence[StageReport], cores: int) -> Iterator[MetricRow]:
    for metric in METRICS:
        cells = (
            NOTHING if _is_skipped(stage) else metric.write(metric.value(stage, cores))
            for stage in stages
        )
        row = MetricRow(metric.group, metric.label, tuple(cells))
        if metric.group not in OPTIONAL or any(cell != NOTHING for cell in row.cells):
            yield row
        if metric.label == "rejected":
            yield from _parts(metric.group, [stage.rejected for stage in stages])
        if metric.label == "removed":
            yield from _parts(metric.group, [stage.removed for stage in stages])


def _parts(group: str, counts: Sequence[Mapping[str, int]]) -> Iterator[MetricRow]:
    for name in dict.fromkeys(name for some in counts for name in some):
        cells = tuple(count(some.get(name)) for some in counts)
        yield MetricRow(group, name.replace("_", " "), cells, part=True)


def _unaccounted(stage: StageReport) -> int:
    lost = sum(stage.rejected.values()) + sum(stage.removed.values())
    return stage.rows_in - stage.rows_out - lost


def _is_skipped(stage: StageReport) -> bool:
    return stage.status is StageStatus.SKIPPED


def _hit_share(stage: StageReport) -> float | None:
    hits = stage.counters.cache_hits
    return per(hits, hits + stage.counters.cache_misses)
