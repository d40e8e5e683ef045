"""Results of Spark that are read more than once: cached in memory or on disk, by their size.

Spark caches the rows of a DataFrame in compressed columns, so the estimate is an upper bound. Rows
that must outlive an executor are not cached, but written to files of the staging folder
(:mod:`strata.pipelines.dedup.spark_components`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["CacheLocation", "CachedFrame", "cache_location", "cached", "storage_memory"]

# The rest is left to shuffles and joins, which would otherwise evict the rows again.
_SHARE = 0.3


class CacheLocation(StrEnum):
    """Where rows are cached; rows that do not fit in memory go to disk in either case."""

    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class CachedFrame:
    """A result that is cached while it is needed.

    Attributes:
        frame: the result, which may be read any number of times.
        n_bytes: estimated upper bound of its size.
        place: where it is cached.
    """

    frame: DataFrame
    n_bytes: int
    place: CacheLocation

    @property
    def facts(self) -> dict[str, object]:
        """The entry of the report for this result."""
        return {"bytes_at_most": self.n_bytes, "in": str(self.place)}


@contextmanager
def cached(frame: DataFrame, rows: int, row_bytes: int) -> Iterator[CachedFrame]:
    """Cache a result for the duration of a block, however that ends.

    Args:
        frame: the result, computed when it is first read.
        rows: upper bound of its rows.
        row_bytes: bytes of a row.
    """
    from pyspark import StorageLevel

    n_bytes = rows * row_bytes
    place = cache_location(n_bytes, storage_memory(frame.sparkSession))
    level = (
        StorageLevel.MEMORY_AND_DISK if place is CacheLocation.MEMORY else StorageLevel.DISK_ONLY
    )
    frame.persist(level)
    try:
        yield CachedFrame(frame, n_bytes, place)
    finally:
        frame.unpersist()


def cache_location(n_bytes: int, memory_bytes: int) -> CacheLocation:
    """Where to cache n bytes, given the memory that the executors have for storage."""
    return CacheLocation.MEMORY if n_bytes <= _SHARE * memory_bytes else CacheLocation.DISK


def storage_memory(spark: SparkSession) -> int:
    """Bytes that the executors have for storage and execution together.

    Those of the driver count only where it is the executor, in local mode.
    """
    jvm_context = spark.sparkContext._jsc.sc()
    status = jvm_context.getExecutorMemoryStatus().iterator()
    sizes = []
    while status.hasNext():
        sizes.append(int(status.next()._2()._1()))
    if jvm_context.isLocal() or len(sizes) == 1:
        return sum(sizes)
    # The driver is among them but cannot be identified, so an even share is subtracted.
    return sum(sizes) * (len(sizes) - 1) // len(sizes)
