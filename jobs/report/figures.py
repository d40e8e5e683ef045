"""The figures of a report page: the rates of a stage, and how numbers are formatted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from strata.jobs.display.text import MB
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import StageDetails
from strata.pipelines.execution.stage import StageReport, StageStatus
from strata.storage.contracts.url import LOCAL
from strata.storage.transfer.metering import IoMeter

__all__ = [
    "STORE_METRICS",
    "MetricRow",
    "StoreMetric",
    "clock",
    "compact",
    "count",
    "decimal",
    "megabytes",
    "metric_rows",
    "per",
    "percent",
    "uses_servers",
]

NOTHING = "–"
# Most stages have none of these figures; a line without any is left out.
OPTIONAL = frozenset({"Stores", "Text"})
REQUESTS = frozenset({"requests", "requests per MB"})


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


def _no_note(_: IoMeter) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class StoreMetric:
    """One metric of the stores: a line of the table of stages, and perhaps a note.

    Attributes:
        label: what is measured, with its unit.
        value: the figure of a stage; None where there is nothing to show.
        write: the figure as text.
        note: a line below the summary, from the sums of all stages; empty where there is nothing
            worth a line.
    """

    label: str
    value: Callable[[IoMeter], float | None]
    write: Callable[[float | None], str]
    note: Callable[[IoMeter], str] = _no_note


@dataclass(frozen=True, slots=True)
class _Metric:
    group: str
    label: str
    value: Callable[[StageReport[StageDetails], int], float | None]
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


def _resent(io: IoMeter) -> str:
    if not io.retries and not io.failovers:
        return ""
    return (
        f"note: {io.retries:,} requests were sent again, {io.failovers:,} times at another endpoint"
    )


def _blocks_found(io: IoMeter) -> str:
    blocks = io.cache_hits + io.cache_misses
    if not blocks:
        return ""
    return (
        f"cache: {io.cache_hits:,} of {blocks:,} blocks ({io.cache_hits / blocks:.0%}), "
        f"{io.cache_bytes / MB:,.1f} MB came from it"
    )


def _faults(io: IoMeter) -> str:
    if not io.cache_faults:
        return ""
    return f"note: {io.cache_faults:,} blocks could not be kept, or were damaged"


def _hit_share(io: IoMeter) -> float | None:
    return per(io.cache_hits, io.cache_hits + io.cache_misses)


STORE_METRICS = (
    StoreMetric("requests sent again", lambda io: io.retries or None, count, _resent),
    StoreMetric("changes of endpoint", lambda io: io.failovers or None, count),
    StoreMetric("MB from the cache", lambda io: io.cache_bytes or None, megabytes),
    StoreMetric("cache hits", _hit_share, percent, _blocks_found),
    StoreMetric("cache faults", lambda io: io.cache_faults or None, count, _faults),
)
"""What a report shows of its stores besides the plain traffic, in this order."""


def _of_store(metric: StoreMetric) -> Callable[[StageReport[StageDetails], int], float | None]:
    return lambda stage, _: metric.value(stage.counters.io)


METRICS = (
    _Metric("Rows", "in", lambda s, _: s.rows_in, count),
    _Metric("Rows", "out", lambda s, _: s.rows_out, count),
    _Metric("Rows", "rejected", lambda s, _: sum(s.rejected.values()), count),
    _Metric("Rows", "removed", lambda s, _: sum(s.removed.values()), count),
    _Metric("Rows", "unaccounted for", lambda s, _: _unaccounted(s), count),
    _Metric("Reading", "MB", lambda s, _: s.counters.io.bytes_read, megabytes),
    _Metric(
        "Reading",
        "MB/s of stage time",
        lambda s, _: per(s.counters.io.bytes_read, s.seconds),
        megabytes,
    ),
    _Metric(
        "Reading",
        "MB/s of read time",
        lambda s, _: per(s.counters.io.bytes_read, s.counters.io.read_seconds),
        megabytes,
    ),
    _Metric("Reading", "requests", lambda s, _: s.counters.io.read_requests, count),
    _Metric(
        "Reading",
        "requests per MB",
        lambda s, _: per(s.counters.io.read_requests, s.counters.io.bytes_read / MB),
        decimal,
    ),
    _Metric("Writing", "MB", lambda s, _: s.counters.io.bytes_written, megabytes),
    _Metric(
        "Writing",
        "MB/s of stage time",
        lambda s, _: per(s.counters.io.bytes_written, s.seconds),
        megabytes,
    ),
    _Metric(
        "Writing",
        "MB/s of write time",
        lambda s, _: per(s.counters.io.bytes_written, s.counters.io.write_seconds),
        megabytes,
    ),
    _Metric("Writing", "files", lambda s, _: s.counters.files_written, count),
    _Metric("Writing", "requests", lambda s, _: s.counters.io.write_requests, count),
    _Metric(
        "Writing",
        "requests per MB",
        lambda s, _: per(s.counters.io.write_requests, s.counters.io.bytes_written / MB),
        decimal,
    ),
    *(_Metric("Stores", each.label, _of_store(each), each.write) for each in STORE_METRICS),
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
    cores = int(report.machine.get("parallelism") or report.machine.get("cores") or 0)
    # A call to the system is no request: only servers are sent any.
    local = bool(report.tables) and not uses_servers(report)
    metrics = [m for m in METRICS if not (local and m.label in REQUESTS)]
    return tuple(_metric_rows(metrics, report.stages, cores))


def uses_servers(report: RunReport) -> bool:
    """Whether files of the tables are on a remote store."""
    return any(_is_remote(str(facts["location"])) for facts in report.tables.values())


def _is_remote(location: str) -> bool:
    scheme, mark, _ = location.partition("://")
    return bool(mark) and scheme != LOCAL


def _metric_rows(
    metrics: Sequence[_Metric], stages: Sequence[StageReport[StageDetails]], cores: int
) -> Iterator[MetricRow]:
    for metric in metrics:
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


def _unaccounted(stage: StageReport[StageDetails]) -> int:
    lost = sum(stage.rejected.values()) + sum(stage.removed.values())
    return stage.rows_in - stage.rows_out - lost


def _is_skipped(stage: StageReport[StageDetails]) -> bool:
    return stage.status is StageStatus.SKIPPED
