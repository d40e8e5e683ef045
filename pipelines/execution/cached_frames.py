"""Results of Spark that are read more than once: kept in memory or on disk, by their size.

Spark keeps the rows of a DataFrame in compressed columns, so the estimate is an upper bound. What
must outlive an executor is not kept so, but in files of the staging folder
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

# The rest is left to shuffles and joins, which would else drive the rows out again.
_SHARE = 0.3


class CacheLocation(StrEnum):
    """Where rows are kept; what finds no room in memory is on disk too."""

    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class CachedFrame:
    """A result that is kept while it is needed.

    Attributes:
        frame: read it as often as need be.
        n_bytes: its size at most, as estimated.
        place: where it is kept.
    """

    frame: DataFrame
    n_bytes: int
    place: CacheLocation

    @property
    def facts(self) -> dict[str, object]:
        """What the report tells of it."""
        return {"bytes_at_most": self.n_bytes, "in": str(self.place)}


@contextmanager
def cached(frame: DataFrame, rows: int, row_bytes: int) -> Iterator[CachedFrame]:
    """Keep a result for a block of work, however that ends.

    Args:
        frame: computed when it is first read.
        rows: rows that it has at most.
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
    """Where so many bytes are kept, if the executors have so much memory for storage."""
    return CacheLocation.MEMORY if n_bytes <= _SHARE * memory_bytes else CacheLocation.DISK


def storage_memory(spark: SparkSession) -> int:
    """Bytes that the executors have for storage and execution together.

    The driver's own count only where it is the executor, in local mode.
    """
    jvm_context = spark.sparkContext._jsc.sc()
    status = jvm_context.getExecutorMemoryStatus().iterator()
    sizes = []
    while status.hasNext():
        sizes.append(int(status.next()._2()._1()))
    if jvm_context.isLocal() or len(sizes) == 1:
        return sum(sizes)
    # The driver is one of them, and none of them tells which: take away an even share.
    return sum(sizes) * (len(sizes) - 1) // len(sizes)
