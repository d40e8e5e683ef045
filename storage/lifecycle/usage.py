"""What each tier holds of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from strata.storage.contracts.url import Url
from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.tables.held_files import HeldFile
from strata.storage.writing.tiers import Tier

__all__ = ["ELSEWHERE", "TierUsage", "tier_of_file", "tier_of_url", "usage_of"]

ELSEWHERE = "elsewhere"
"""The name under which files outside all tiers of the settings are listed."""


@dataclass(slots=True)
class TierUsage:
    """Files in a tier; ``bytes_by_table`` in the order of the stages.

    Files, rows and bytes are those of the present tables. ``kept_files`` and ``kept_bytes`` count
    files that only tags and branches still refer to. ``held`` has both.
    """

    files: int = 0
    rows: int = 0
    n_bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0
    bytes_by_table: dict[str, int] = field(default_factory=dict)
    held: list[HeldFile] = field(default_factory=list)

    @property
    def all_bytes(self) -> int:
        """Bytes of all files."""
        return self.n_bytes + self.kept_bytes

    def add(self, held: HeldFile) -> None:
        """Count one file."""
        file = held.file
        self.held.append(held)
        if PRESENT not in held.refs:
            self.kept_files += 1
            self.kept_bytes += file.n_bytes
            return
        self.files += 1
        self.rows += file.rows
        self.n_bytes += file.n_bytes
        self.bytes_by_table[held.table] = self.bytes_by_table.get(held.table, 0) + file.n_bytes


def usage_of(files: Iterable[HeldFile], tiers: Mapping[str, Tier]) -> dict[str, TierUsage]:
    """Usage by tier, including empty tiers; ``ELSEWHERE`` only if it has files."""
    usage = {name: TierUsage() for name in tiers}
    for held in files:
        usage.setdefault(tier_of_file(held.file, tiers), TierUsage()).add(held)
    return usage


def tier_of_file(file: TableFile, tiers: Mapping[str, Tier]) -> str:
    """Name of the innermost tier that a file of a table is in, or ``ELSEWHERE``."""
    return tier_of_url(file.location, tiers)


def tier_of_url(url: Url, tiers: Mapping[str, Tier]) -> str:
    """Name of the innermost tier that a place is in, or ``ELSEWHERE``."""
    # A tier may lie inside another, as ./warehouse/hot does.
    around = [name for name, tier in tiers.items() if url.is_below(tier.url)]
    return max(around, key=lambda name: len(str(tiers[name].url)), default=ELSEWHERE)
