"""What the end of a run says about moved files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strata.jobs.runtime.run import RunReport
from strata.jobs.runtime.units import MB, size

__all__ = ["move_lines"]


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
