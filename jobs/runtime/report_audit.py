"""The error bars of a deduplication, as a run's summary and its page tell them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from strata.jobs.runtime.run import RunReport

__all__ = ["ErrorBar", "audit_lines", "error_bars"]

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
