"""What each tier holds and costs, how full it is, and how much is read from it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from strata.errors import StrataError
from strata.settings import Settings, TierSettings
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.lifecycle.accesses import DAY_MS, AccessHistory
from strata.storage.lifecycle.usage import TierUsage, usage_of
from strata.storage.reading.scan import open_parquet
from strata.storage.tables.held_files import HeldFile
from strata.storage.writing.tiers import Tier, tiers_of

__all__ = ["TierFacts", "cost_month", "tier_facts"]

GB = 1e9
READS_DAYS = 30
# Files of a tier are similar, and each footer takes a request or two.
_FOOTERS = 32
_IN_FLIGHT = 16


@dataclass(frozen=True, slots=True)
class TierFacts:
    """A tier as used by one corpus.

    Attributes:
        usage: the files in it.
        ratio: bytes of the columns before compression per byte on disk; None for an empty tier.
        footers: number of footers that the ratio is measured on, spread evenly over the files.
        cost_month: price per month; None where the settings give no price.
        free_bytes: bytes that still fit, by the capacity and by the free space of a local disk;
            None where neither is known.
        reads: number of tasks that read a file of it in the last 30 days.
    """

    usage: TierUsage
    ratio: float | None
    footers: int
    cost_month: float | None
    free_bytes: int | None
    reads: int


def tier_facts(
    settings: Settings,
    store: Store,
    files: Sequence[HeldFile],
    history: AccessHistory,
    now_ms: int,
) -> dict[str, TierFacts]:
    """Facts by tier, including empty tiers; files outside all tiers are under ``ELSEWHERE``."""
    tiers, since = tiers_of(settings), now_ms - (READS_DAYS - 1) * DAY_MS
    facts = {}
    for name, usage in usage_of(files, tiers).items():
        tier, raw_disk = settings.all_tiers.get(name), _sampled(store, usage.held)
        facts[name] = TierFacts(
            usage=usage,
            ratio=raw_disk.ratio,
            footers=raw_disk.footers,
            cost_month=cost_month(tier, usage.all_bytes),
            free_bytes=_free(tier, tiers.get(name), usage.all_bytes),
            reads=sum(history.of(h.name).reads_since(since) for h in usage.held),
        )
    return facts


def cost_month(tier: TierSettings | None, n_bytes: float) -> float | None:
    """Monthly price of ``n_bytes`` bytes; None where the settings give none."""
    if tier is None or tier.cost_gb_month is None:
        return None
    return tier.cost_gb_month * n_bytes / GB


@dataclass(frozen=True, slots=True)
class _Sample:
    footers: int
    ratio: float | None


def _sampled(store: Store, held: Sequence[HeldFile]) -> _Sample:
    step = max(1, -(-len(held) // _FOOTERS))
    urls = [each.file.location for each in held[::step]]
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        raw = list(pool.map(lambda url: _raw_bytes(store, url), urls))
    told = [(size, each.file.n_bytes) for size, each in zip(raw, held[::step], strict=True) if size]
    disk = sum(n_bytes for _, n_bytes in told)
    return _Sample(len(told), sum(size for size, _ in told) / disk if disk else None)


def _raw_bytes(store: Store, url: Url) -> int:
    """Bytes of the columns before compression; 0 where the footer cannot be read."""
    try:
        with open_parquet(store, url) as scan:
            groups = [scan.metadata.row_group(n) for n in range(scan.metadata.num_row_groups)]
    except StrataError:
        # A tier that does not respond still has files, sizes and a price to show.
        return 0
    return sum(
        group.column(n).total_uncompressed_size
        for group in groups
        for n in range(group.num_columns)
    )


def _free(settings: TierSettings | None, tier: Tier | None, used: int) -> int | None:
    if settings is None or tier is None:
        return None
    rooms = [_disk_free(Path(tier.url.path))] if tier.url.scheme == "file" else []
    if settings.capacity_gb is not None:
        rooms.append(max(0, round(settings.capacity_gb * GB) - used))
    return min(rooms, default=None)


def _disk_free(folder: Path) -> int:
    # The folder of a tier is created with its first file.
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
