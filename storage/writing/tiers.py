"""Tiers: named places for files, each with its own codec, and where a table's files go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.writing.parquet import ParquetLayout

__all__ = ["Tier", "landing_tier", "layout_for", "tier_for_table", "tier_of_table", "tiers_of"]


@dataclass(frozen=True, slots=True)
class Tier:
    """A named place for files."""

    name: str
    url: Url
    layout: ParquetLayout

    def folder(self, corpus: str, table: str) -> Url:
        """Folder that holds the data files of a table in this tier."""
        return self.url / corpus / table / "data"


def tiers_of(settings: Settings) -> dict[str, Tier]:
    """All tiers of the settings by name, including the warehouse's own."""
    return {
        name: Tier(name, Url.parse(tier.url), ParquetLayout.of(tier, settings.shard.target_file_mb))
        for name, tier in settings.all_tiers.items()
    }


def landing_tier(settings: Settings, table: str) -> Tier:
    """The tier that the shard stage writes to, before compress moves the table to its own tier."""
    return tier_for_table(settings, settings.shard.landing, table)


def tier_of_table(settings: Settings, table: str) -> Tier:
    """The tier that the settings assign to a table, with its partitions in the layout."""
    return tier_for_table(settings, settings.tier_of(table), table)


def tier_for_table(settings: Settings, name: str, table: str) -> Tier:
    """A tier by name, with the partitions of a table in the layout."""
    tier = tiers_of(settings)[name]
    return replace(tier, layout=layout_for(settings, tier, table))


def layout_for(settings: Settings, tier: Tier, table: str) -> ParquetLayout:
    """The layout of a tier with the partitions of a table."""
    return replace(
        tier.layout,
        partition_by=settings.partition_by(table),
        open_files=settings.writers.open_files,
        pending_bytes=max(1, round(settings.writers.pending_mb * 1e6)),
    )
