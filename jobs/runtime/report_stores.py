"""What a run says about its stores: requests for each MB, retries, and what the cache saved."""

from __future__ import annotations

from strata.jobs.runtime.run import RunReport
from strata.jobs.runtime.units import MB
from strata.pipelines.stage import Counters
from strata.storage.url import LOCAL

__all__ = ["store_lines"]


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
