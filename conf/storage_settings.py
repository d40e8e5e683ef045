"""The settings of tables and tiers: where files lie, in which codec and size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from strata.model import Model

__all__ = ["TABLES", "WAREHOUSE_TIER", "CompressSettings", "TierSettings", "known_tables"]

TABLES = (
    *("inputs", "documents", "rejects", "fingerprints"),
    *("edges", "clusters", "contained", "cuts"),
    *("clean", "tokens"),
    "retractions",
)
WAREHOUSE_TIER = "warehouse"


def known_tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    """The same names.

    Raises:
        ValueError: one of them is no table.
    """
    for table in tables:
        if table not in TABLES:
            raise ValueError(f"there is no table {table!r}: the tables are {', '.join(TABLES)}")
    return tables


class CompressSettings(Model):
    """``[compress]``: compaction and rewriting into the tiers."""

    tables: tuple[str, ...] = ("documents", "fingerprints", "edges", "clean", "tokens")
    """Tables that are compacted and put into their tier."""
    min_fill: float = Field(default=0.5, gt=0, le=1)
    """A file below this share of the tier's target size is small, and merged with others."""

    min_files: int = Field(default=5, ge=2)
    """Small files a table must have before they are merged."""

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_tables(value)


class TierSettings(Model):
    """``[tiers.NAME]``: a place for files, with its own codec."""

    url: str = Field(min_length=1)
    """Folder of the tier: any fsspec URL, or a path."""
    codec: Literal["zstd", "gzip", "brotli", "lz4", "snappy", "none"] = "zstd"
    """Parquet codec."""
    level: int | None = Field(default=None, ge=1, le=22)
    """Compression level, where the codec has one (zstd 1-22, gzip 1-9, brotli 1-11)."""
    row_group_mb: float = Field(default=32, gt=0, le=1024)
    """Uncompressed size of a row group."""
    target_file_mb: float | None = Field(default=None, gt=0, le=4096)
    """Size of a file; the default is shard.target_file_mb."""
    capacity_gb: float | None = Field(default=None, gt=0)
    """GB (10^9 bytes) of this corpus that the tier may hold; the coldest files beyond it go to
    `spill_to`."""
    spill_to: str | None = None
    """Tier that takes what is beyond `capacity_gb`."""
    cost_gb_month: float | None = Field(default=None, ge=0)
    """Price of a GB (10^9 bytes) a month, in any currency."""

    @model_validator(mode="after")
    def _level_fits(self) -> TierSettings:
        top = {"zstd": 22, "gzip": 9, "brotli": 11}.get(self.codec, 0)
        if self.level is not None and self.level > top:
            raise ValueError(f"codec {self.codec} has no level {self.level} (largest: {top})")
        return self
