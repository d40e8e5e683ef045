"""The settings of tables and tiers: where files are stored, with which codec and size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from strata.choices import RowOrder
from strata.model import Model
from strata.place_fields import LocalPlaces, Place
from strata.tables import DECLARED, table_names

__all__ = [
    "HINT",
    "WAREHOUSE_TIER",
    "CacheSettings",
    "CompressSettings",
    "TierSettings",
    "TransferSettings",
    "known_tables",
]

WAREHOUSE_TIER = "warehouse"
HINT = r"^[A-Z0-9_]+$"
"""How names of storage classes and policies are written."""
_HINT_SCHEMES = {
    "storage_class": ("s3", "s3a"),
    "replication": ("webhdfs", "hdfs"),
    "storage_policy": ("webhdfs",),
    "endpoints": ("s3", "s3a", "webhdfs"),
}


def known_tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, checked.

    Raises:
        ValueError: one of them is not a table.
    """
    for table in tables:
        if table not in DECLARED:
            names = ", ".join(table_names())
            raise ValueError(f"there is no table {table!r}: the tables are {names}")
    return tables


class CompressSettings(Model):
    """``[compress]``: compaction and rewriting into the tiers."""

    tables: tuple[str, ...] = ("documents", "fingerprints", "edges", "clean", "tokens")
    """Tables that are compacted and rewritten into their tier."""
    min_fill: float = Field(default=0.5, gt=0, le=1)
    """A file below this share of the tier's target size is small and is merged with others."""

    min_files: int = Field(default=5, ge=2)
    """Small files a table must have before they are merged."""

    order: dict[str, RowOrder] = Field(default={})
    """Order of the rows in rewritten files, by table; doc_id unless given."""

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_tables(value)

    @field_validator("order")
    @classmethod
    def _can_be_ordered(cls, value: dict[str, RowOrder]) -> dict[str, RowOrder]:
        orderable = [each.name for each in DECLARED.values() if each.can_be_ordered]
        for table in value:
            if table not in orderable:
                raise ValueError(
                    f"the rows of {table!r} cannot be ordered: only those of "
                    f"{', '.join(orderable)} can"
                )
        return value


class TierSettings(Model):
    """``[tiers.NAME]``: a place for files, with its own codec."""

    url: Place
    """Folder of the tier: any fsspec URL, or a path."""
    codec: Literal["zstd", "gzip", "brotli", "lz4", "snappy", "none"] = "zstd"
    """Parquet codec."""
    level: int | None = Field(default=None, ge=1, le=22)
    """Compression level, where the codec has one (zstd 1-22, gzip 1-9, brotli 1-11)."""
    level_range: tuple[int, int] | None = None
    """Smallest and largest level; each file takes the level between them that is written fastest,
    by measured rates of processor and store; `level` is that of the first file."""
    row_group_mb: float = Field(default=32, gt=0, le=1024)
    """Uncompressed size of a row group."""
    target_file_mb: float | None = Field(default=None, gt=0, le=4096)
    """Size of a file; the default is shard.target_file_mb."""
    capacity_gb: float | None = Field(default=None, gt=0)
    """GB (10^9 bytes) of this corpus that the tier may hold; the coldest files beyond it go to
    `spill_to`."""
    spill_to: str | None = None
    """Tier that takes the files beyond `capacity_gb`."""
    cost_gb_month: float | None = Field(default=None, ge=0)
    """Price of a GB (10^9 bytes) a month, in any currency."""
    storage_class: str | None = Field(default=None, pattern=HINT)
    """S3 StorageClass of new files, such as "STANDARD_IA"; for s3:// only."""
    replication: int | None = Field(default=None, ge=1, le=512)
    """HDFS replication of new files; for webhdfs:// and hdfs:// only."""
    storage_policy: str | None = Field(default=None, pattern=HINT)
    """HDFS storage policy of the tier's folder, such as "COLD"; for webhdfs:// only."""
    endpoints: tuple[str, ...] = ()
    """Addresses of the store, used in turn: URLs for s3://, host:port for webhdfs://."""

    @model_validator(mode="after")
    def _hints_fit(self) -> TierSettings:
        scheme = self.url.partition("://")[0].lower() if "://" in self.url else "file"
        for name, schemes in _HINT_SCHEMES.items():
            if getattr(self, name) and scheme not in schemes:
                raise ValueError(
                    f"{name} is for {' and '.join(f'{each}://' for each in schemes)}, "
                    f"but the tier's url is {self.url}"
                )
        return self

    @model_validator(mode="after")
    def _level_fits(self) -> TierSettings:
        top = {"zstd": 22, "gzip": 9, "brotli": 11}.get(self.codec, 0)
        if self.level is not None and self.level > top:
            raise ValueError(f"codec {self.codec} has no level {self.level} (largest: {top})")
        if self.level_range is not None:
            low, high = self.level_range
            if not 1 <= low < high <= top:
                raise ValueError(
                    f"level_range {list(self.level_range)} is no range of levels of {self.codec} "
                    f"(largest: {top})"
                )
        return self


class TransferSettings(Model):
    """``[transfer]``: moving bytes to and from stores.

    All but ``sync`` is about stores that are not local. A worker process holds at most one part for
    each file that it writes and ``window`` more for all of them, and three for each file that it
    reads from beginning to end.
    """

    part_mb: float = Field(default=8, ge=5, le=512)
    """Size of a part of an upload, and of one read of a sequential reader (S3 allows 5 or more)."""
    window: int = Field(default=4, ge=1, le=64)
    """Requests that a worker process has in flight."""
    attempts: int = Field(default=6, ge=1, le=100)
    """Attempts in all for a request whose failures are transient: 503, reset, timeout."""
    retry_seconds: float = Field(default=120, ge=0)
    """Time after which a failed request is not sent again."""
    timeout_seconds: float = Field(default=60, gt=0)
    """Longest time that a server may be silent."""
    sync: bool = True
    """Whether local files are on the disk (fsync) before the catalog refers to them, and the SQLite
    catalog before a run goes on; without it the system writes them some time later, and a power cut
    can leave published tables with empty files."""


class CacheSettings(Model):
    """``[cache]``: blocks of remote files on a local disk, shared by all workers of a host."""

    folder: LocalPlaces | None = None
    """Folder of the blocks, the same on every worker; there is no cache unless given."""
    capacity_gb: float = Field(default=20, gt=0)
    """Size of all blocks; the least recently used are removed first."""
    block_mb: float = Field(default=1, ge=0.0625, le=64)
    """Size of a block."""
    prefetch: int = Field(default=16, ge=0, le=1024)
    """Blocks that are fetched ahead of a sequential reader."""
