"""What each tier holds of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from strata.storage.catalog import Corpus
from strata.storage.records import TableFile
from strata.storage.tiers import Tier

__all__ = ["ELSEWHERE", "TierUsage", "tier_usage"]

ELSEWHERE = "elsewhere"
"""Stands for the files that lie in no tier of the settings."""


@dataclass(slots=True)
class TierUsage:
    """Files of the present snapshots; ``bytes_by_table`` in the order of the stages."""

    files: int = 0
    rows: int = 0
    n_bytes: int = 0
    bytes_by_table: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, file: TableFile) -> None:
        """Count one file."""
        self.files += 1
        self.rows += file.rows
        self.n_bytes += file.n_bytes
        self.bytes_by_table[table] = self.bytes_by_table.get(table, 0) + file.n_bytes


def tier_usage(corpus: Corpus, tiers: Mapping[str, Tier]) -> dict[str, TierUsage]:
    """Usage by tier, empty tiers included; ``ELSEWHERE`` only where something is there."""
    usage = {name: TierUsage() for name in tiers}
    for table in corpus.existing_tables():
        for file in corpus.table(table).files():
            usage.setdefault(_tier_of(file, tiers), TierUsage()).add(table, file)
    return usage


def _tier_of(file: TableFile, tiers: Mapping[str, Tier]) -> str:
    # A tier may lie inside another, as ./warehouse/hot does.
    around = [name for name, tier in tiers.items() if file.location.is_below(tier.url)]
    return max(around, key=lambda name: len(str(tiers[name].url)), default=ELSEWHERE)
