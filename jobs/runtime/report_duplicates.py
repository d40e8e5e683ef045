"""What a report shows of duplicates: bars by cluster size, a matrix of sources, large clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import msgspec

from strata.jobs.runtime.report_figures import compact, per
from strata.jobs.runtime.run import RunReport
from strata.jobs.runtime.visible import escape_control_chars
from strata.pipelines.duplicates_report import DUPLICATES, DuplicateFacts, LargeCluster
from strata.pipelines.ledger_summary import SourceMatrix

__all__ = ["Duplicates", "MatrixRow", "SizeBar", "duplicates_of"]

LABEL = 40


@dataclass(frozen=True, slots=True)
class SizeBar:
    """Clusters of about the same size; ``share`` is that of the class with the most removed."""

    label: str
    clusters: int
    removed: int
    share: float


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Removed documents of one source, by the source of their survivors.

    Attributes:
        name: the source of the removed documents.
        label: its name, shortened in the middle where it is long.
        removed: documents, in the order of the rows' own sources.
        strengths: how deep each is coloured, 0 to 1.
        total: all removed documents of the source.
    """

    name: str
    label: str
    removed: tuple[int, ...]
    strengths: tuple[float, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The pictures, and the largest clusters; all text is fit to be seen."""

    sizes: tuple[SizeBar, ...]
    matrix: tuple[MatrixRow, ...]
    largest: tuple[LargeCluster, ...]


def duplicates_of(report: RunReport) -> Duplicates | None:
    """What the dedup stage of a run tells; None where it did not run, or found nothing."""
    told = [stage.details[DUPLICATES] for stage in report.stages if DUPLICATES in stage.details]
    if not told:
        return None
    facts = msgspec.convert(told[0], DuplicateFacts)
    most = max((each.removed for each in facts.sizes), default=0)
    bars = (
        SizeBar(_span(e.least, e.most), e.clusters, e.removed, per(e.removed, most) or 0.0)
        for e in facts.sizes
    )
    largest = (_printable(cluster) for cluster in facts.largest)
    return Duplicates(tuple(bars), _matrix(facts.sources), tuple(largest)) if most else None


def _span(least: int, most: int) -> str:
    return compact(least) if least == most else f"{compact(least)}–{compact(most)}"


def _matrix(sources: SourceMatrix) -> tuple[MatrixRow, ...]:
    most = max(map(max, sources.removed))
    return tuple(
        MatrixRow(name, _label(name), row, _strengths(row, most), sum(row))
        for name, row in zip(map(escape_control_chars, sources.names), sources.removed, strict=True)
    )


def _label(name: str) -> str:
    return name if len(name) <= LABEL else f"{name[: LABEL // 2]}…{name[1 - LABEL // 2 :]}"


def _strengths(row: Sequence[int], most: int) -> tuple[float, ...]:
    # The root lets a pair of sources with a hundredth of the most still be seen.
    return tuple(sqrt(per(number, most) or 0.0) for number in row)


def _printable(cluster: LargeCluster) -> LargeCluster:
    return LargeCluster(
        size=cluster.size,
        doc_id=cluster.doc_id,
        id=escape_control_chars(cluster.id),
        source=escape_control_chars(cluster.source),
        sample=escape_control_chars(cluster.sample),
    )
