"""The error bars of a deduplication, as a run's summary and its page tell them.

What the end of a run says about moved files.

What a run says about its stores: requests for each MB, retries, and what the cache saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from strata.jobs.display.text import MB, size
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import Counters
from strata.storage.contracts.url import LOCAL

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
        if name in audit:
            yield _bar(label, meaning.format(**audit), audit[name])


def audit_lines(report: RunReport) -> Iterator[str]:
    """The audit as lines of text."""
    audit = _audit(report)
    if "not_made" in audit:
        yield f"audit: not made, {audit['not_made']}"
    if "removed_documents" not in audit:
        return
    removed, kept = audit["removed_documents"], audit["kept_documents"]
    yield (
        f"audit: exact Jaccard of {removed:,} removed and {kept:,} kept documents, "
        f"with {audit['confidence']:.0%} intervals"
    )
    for bar in error_bars(report):
        yield f"  {bar.label:<17}{bar.value:>8}  {bar.interval:<19}{bar.meaning}"


def _audit(report: RunReport) -> Mapping[str, Any]:
    stage = next((stage for stage in report.stages if stage.stage == "dedup"), None)
    return {} if stage is None else stage.details.get("audit", {})


def _bar(label: str, meaning: str, estimate: Mapping[str, float]) -> ErrorBar:
    low, high = _percent(estimate["low"]), _percent(estimate["high"])
    return ErrorBar(label, _percent(estimate["value"]), f"{low} to {high}", meaning)


def _percent(share: float) -> str:
    return f"{share:.2%}"


def move_lines(report: RunReport) -> list[str]:
    """One line for each pair of tiers, and one about old copies; none without a move."""
    return [line for stage in report.stages for line in _lines(stage.details)]


def _lines(details: Mapping[str, Any]) -> Iterator[str]:
    for pair in details.get("moves", ()):
        speed = pair["bytes_before"] / MB / max(pair["seconds"], 1e-9)
        yield (
            f"moved {pair['from']} to {pair['to']}: {pair['files']:,} files, "
            f"{pair['rows_after']:,} rows, {size(pair['bytes_before'])} MB that are now "
            f"{size(pair['bytes_after'])} MB, at {speed:,.1f} MB/s"
        )
    if details.get("overtaken"):
        yield f"note: {details['overtaken']:,} files were replaced by another run meanwhile"
    settled = details.get("settled")
    if settled and (settled["files"] or settled["waiting"]):
        yield (
            f"old copies: {settled['files']:,} deleted with {size(settled['n_bytes'])} MB, "
            f"{settled['waiting']:,} waiting"
        )


def store_lines(report: RunReport) -> list[str]:
    """Lines below the tables; none for a run on local files where nothing is worth telling."""
    total = Counters()
    for stage in report.stages:
        total.add(stage.counters)
    lines = []
    if any(_is_remote(str(facts["location"])) for facts in report.tables.values()):
        read = _rate(total.read_requests, total.bytes_read)
        written = _rate(total.write_requests, total.bytes_written)
        if total.bytes_read or total.bytes_written:
            lines.append(f"requests: {read} per MB read, {written} per MB written")
    if total.retries or total.failovers:
        lines.append(
            f"note: {total.retries:,} requests were sent again, "
            f"{total.failovers:,} times at another endpoint"
        )
    blocks = total.cache_hits + total.cache_misses
    if blocks:
        lines.append(
            f"cache: {total.cache_hits:,} of {blocks:,} blocks ({total.cache_hits / blocks:.0%}), "
            f"{total.cache_bytes / MB:,.1f} MB came from it"
        )
    if total.cache_faults:
        lines.append(f"note: {total.cache_faults:,} blocks could not be kept, or were damaged")
    return lines


def _is_remote(location: str) -> bool:
    scheme, mark, _ = location.partition("://")
    return bool(mark) and scheme != LOCAL


def _rate(requests: int, n_bytes: int) -> str:
    return f"{requests / (n_bytes / MB):.2f}" if n_bytes else "0.00"
