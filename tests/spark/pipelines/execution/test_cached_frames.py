"""Results that are kept while they are read more than once."""

from __future__ import annotations

import pytest

from strata.pipelines.execution.cached_frames import (
    CacheLocation,
    cache_location,
    cached,
    storage_memory,
)


def test_storage_memory_of_local_mode_is_a_share_of_the_drivers(spark):
    assert 100e6 < storage_memory(spark) < 1024e6


@pytest.mark.parametrize(
    ("n_bytes", "place"), [(30, CacheLocation.MEMORY), (31, CacheLocation.DISK)]
)
def test_kept_in_by_size(n_bytes, place):
    assert cache_location(n_bytes, 100) is place


def test_kept_small_result_in_memory_until_the_block_ends(spark):
    frame = spark.range(1000)

    with cached(frame, 1000, 8) as found:
        assert found.frame.count() == found.frame.count() == 1000
        assert frame.storageLevel.useMemory
        assert found.facts == {"bytes_at_most": 8000, "in": "memory"}
    assert not frame.is_cached


def test_kept_large_result_on_disk_alone(spark):
    frame = spark.range(1000)

    with cached(frame, 1 << 30, 8) as found:
        assert found.frame.count() == 1000
        assert frame.storageLevel.useDisk
        assert not frame.storageLevel.useMemory
        assert found.place is CacheLocation.DISK


def fail():
    raise ValueError


def test_kept_result_of_a_block_that_fails_is_let_go(spark):
    frame = spark.range(10)

    with pytest.raises(ValueError), cached(frame, 10, 8):  # noqa: PT011 (it is raised here)
        fail()
    assert not frame.is_cached
