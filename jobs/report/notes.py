"""Notes below the summary of a run: error bars of the audit, moved files, traffic of the stores.

The notes on stores give requests per MB, retries, and what the cache saved. The error bars are also
shown on the run's page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strata.jobs.display.text import MB, size
from strata.jobs.report.figures import STORE_METRICS, uses_servers
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import Audit, AuditedShare, DedupDetails, MoveDetails
from strata.storage.transfer.metering import IoMeter

__all__ = ["ErrorBar", "audit_lines", "error_bars", "move_lines", "store_lines"]

TOLD = {
    "precision": ("precision", "of the removed documents have another one at {threshold:g}"),
    "precision_near": ("near precision", "of the removed documents have another one at {near:g}"),
    "recall": ("recall", "of the pairs at {threshold:g} have at most one document left"),
    "kept_with_duplicate": (
        "still duplicates",
        "of the kept documents have another kept one at {threshold:g}",
    ),
}


@dataclass(frozen=True, slots=True)
class ErrorBar:
    """An estimate from a sample, in words.

    Attributes:
        label: what is estimated, in a word or two.
        value: the estimate.
        interval: the ends of its confidence interval.
        meaning: what it is the share of.
    """

    label: str
    value: str
    interval: str
    meaning: str


def error_bars(report: RunReport) -> Iterator[ErrorBar]:
    """The estimates of the audit, where dedup made one."""
    audit = _audit(report)
    for name, (label, meaning) in TOLD.items():
        estimate: AuditedShare | None = getattr(audit, name)
        if estimate is not None:
            words = meaning.format(threshold=audit.threshold, near=audit.near)
            yield ErrorBar(label, _percent(estimate.value), _interval(estimate), words)


def audit_lines(report: RunReport) -> Iterator[str]:
    """The audit as lines of text."""
    audit = _audit(report)
    if audit.not_made is not None:
        yield f"audit: not made, {audit.not_made}"
    if audit.removed_documents is None:
        return
    yield (
        f"audit: exact Jaccard of {audit.removed_documents:,} removed and "
        f"{audit.kept_documents:,} kept documents, with {audit.confidence:.0%} intervals"
    )
    for bar in error_bars(report):
        yield f"  {bar.label:<17}{bar.value:>8}  {bar.interval:<19}{bar.meaning}"


def _audit(report: RunReport) -> Audit:
    dedup = report.details_of(DedupDetails)
    return Audit() if dedup is None or dedup.audit is None else dedup.audit


def _interval(estimate: AuditedShare) -> str:
    return f"{_percent(estimate.low)} to {_percent(estimate.high)}"


def _percent(share: float) -> str:
    return f"{share:.2%}"


def move_lines(report: RunReport) -> list[str]:
    """One line for each pair of tiers, and one about old copies; none without a move."""
    details = report.details_of(MoveDetails)
    return [] if details is None else list(_lines(details))


def _lines(details: MoveDetails) -> Iterator[str]:
    for pair in details.moves or ():
        speed = pair.bytes_before / MB / max(pair.seconds, 1e-9)
        yield (
            f"moved {pair.source} to {pair.target}: {pair.files:,} files, "
            f"{pair.rows_after:,} rows, {size(pair.bytes_before)} MB that are now "
            f"{size(pair.bytes_after)} MB, at {speed:,.1f} MB/s"
        )
    if details.overtaken:
        yield f"note: {details.overtaken:,} files were replaced by another run meanwhile"
    settled = details.settled
    if settled and (settled.files or settled.waiting):
        yield (
            f"old copies: {settled.files:,} deleted with {size(settled.n_bytes)} MB, "
            f"{settled.waiting:,} waiting"
        )


def store_lines(report: RunReport) -> list[str]:
    """Lines below the tables; none for a run on local files with nothing to mention."""
    total = sum((stage.counters.io for stage in report.stages), IoMeter())
    lines = []
    if uses_servers(report):
        read = _rate(total.read_requests, total.bytes_read)
        written = _rate(total.write_requests, total.bytes_written)
        if total.bytes_read or total.bytes_written:
            lines.append(f"requests: {read} per MB read, {written} per MB written")
    return lines + [line for metric in STORE_METRICS if (line := metric.note(total))]


def _rate(requests: int, n_bytes: int) -> str:
    return f"{requests / (n_bytes / MB):.2f}" if n_bytes else "0.00"
