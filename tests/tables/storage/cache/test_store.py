import errno
import io
import logging
import multiprocessing
import os
import random
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from strata.settings import CacheSettings
from strata.storage.cache import store as cache_store
from strata.storage.cache.blocks import BlockCache, CacheUsage
from strata.storage.cache.store import CachedStore
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import ByteRange, Store
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

BLOCK = 1000
HEADER = 24
KEY = "ab" * 16


@pytest.fixture
def options(tmp_path):
    return CacheOptions(str(tmp_path / "cache"), 100 * BLOCK, BLOCK, prefetch=4)


@pytest.fixture
def url():
    return Url.parse(f"memory://cache/{uuid4().hex}")


@dataclass(frozen=True, slots=True)
class Counted(FsspecStore):
    """A store that notes which ranges were asked of it."""

    spans: list[ByteRange] = field(default_factory=list)

    def read_ranges(self, url, ranges):
        self.spans.extend(ranges)
        return FsspecStore.read_ranges(self, url, ranges)


def metered(options, inner: Store | None = None):
    return MeteredStore(CachedStore(inner or FsspecStore(), options))


def block_files(options):
    return sorted(Path(options.folder).rglob("*.block"))


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True)
class Unversioned(FsspecStore):
    """A store that tells the sizes of files alone."""

    def info(self, url):
        return replace(FsspecStore.info(self, url), identity="")

    def pinned(self, _):
        return self


def test_cache_file_without_a_version_is_read_anew(options, url):
    store = CachedStore(Unversioned(), options)
    for data in (b"1" * 500, b"2" * 500):
        store.write_bytes(url, data)
        assert store.read_bytes(url) == data
        assert store.read_ranges(url, [ByteRange(0, 9)]) == [data[:9]]
    assert block_files(options) == []


def test_cache_second_reading_comes_from_the_disk(options, url):
    inner, data = Counted(), content(5500)
    inner.write_bytes(url, data)
    for _ in range(2):
        assert metered(options, inner).read_ranges(url, [ByteRange(100, 5400)]) == [data[100:5400]]
    # Neighbours came in one request, and never again.
    assert inner.spans == [ByteRange(0, 5500)]
    store = metered(options, inner)
    store.read_ranges(url, [ByteRange(0, 2500)])
    assert (store.meter.cache_hits, store.meter.cache_misses) == (3, 0)
    assert store.meter.cache_bytes == 3000


def test_cache_reads_only_the_blocks_that_are_missing(options, url):
    inner, data = Counted(), content(10_000)
    inner.write_bytes(url, data)
    store = metered(options, inner)
    store.read_ranges(url, [ByteRange(3000, 4000), ByteRange(7000, 7001)])
    inner.spans.clear()
    assert store.read_ranges(url, [ByteRange(0, 10_000)]) == [data]
    assert inner.spans == [ByteRange(0, 3000), ByteRange(4000, 7000), ByteRange(8000, 10_000)]


def test_cache_any_ranges_are_those_of_the_file(options, url):
    data, draw = content(12_345), random.Random(3)
    FsspecStore().write_bytes(url, data)
    store = metered(options)
    for _ in range(60):
        starts = [draw.randrange(len(data)) for _ in range(draw.randrange(1, 5))]
        ranges = [ByteRange(at, min(at + draw.randrange(4000), len(data))) for at in starts]
        assert store.read_ranges(url, ranges) == [data[r.start : r.end] for r in ranges]


def test_cache_sequential_reader_gets_the_file_and_later_readers_no_request(options, url):
    inner, data = Counted(), content(30_000)
    inner.write_bytes(url, data)
    policy = replace(StorageOptions().transfer, part_bytes=2 * BLOCK)
    for _ in range(2):
        with CachedStore(inner, options, policy).open_input(url) as file:
            assert b"".join(iter(lambda: file.read(700), b"")) == data
    assert sum(span.end - span.start for span in inner.spans) == len(data)


def test_cache_replaced_file_is_read_anew(options, url):
    store = metered(options)
    for seed in range(3):
        data = content(2500, seed)
        store.write_bytes(url, data)
        assert store.read_ranges(url, [ByteRange(0, 2500)]) == [data]
        assert store.read_bytes(url) == data


def test_cache_empty_file_and_empty_range(options, url):
    store = metered(options)
    store.write_bytes(url, b"")
    assert store.read_bytes(url) == b""
    assert store.read_ranges(url, [ByteRange(0, 0)]) == [b""]


def test_cache_local_files_pass_by(options, folder):
    store = metered(options)
    store.write_bytes(folder / "x", b"1" * 5000)
    with store.inner.open_input(folder / "x") as file:
        assert isinstance(file, io.BufferedReader)
    assert store.read_ranges(folder / "x", [ByteRange(0, 3)]) == [b"111"]
    assert not os.path.exists(options.folder)


@pytest.mark.parametrize("place", [0, 5, 12, HEADER, HEADER + 500, HEADER + BLOCK - 1])
def test_cache_flipped_byte_is_found_and_fetched_again(options, url, place):
    data = content(BLOCK)
    FsspecStore().write_bytes(url, data)
    metered(options).read_ranges(url, [ByteRange(0, BLOCK)])
    (file,) = block_files(options)
    damaged = bytearray(file.read_bytes())
    damaged[place] ^= 1
    file.write_bytes(damaged)
    store = metered(options)
    assert store.read_ranges(url, [ByteRange(0, BLOCK)]) == [data]
    assert (store.meter.cache_misses, store.meter.cache_faults) == (1, 1)
    again = metered(options)
    assert again.read_ranges(url, [ByteRange(0, BLOCK)]) == [data]
    assert again.meter.cache_hits == 1


@pytest.mark.parametrize("size", [0, 1, HEADER, HEADER + 10])
def test_cache_block_cut_short_by_a_power_failure_is_found(options, url, size):
    data = content(BLOCK)
    FsspecStore().write_bytes(url, data)
    metered(options).read_ranges(url, [ByteRange(0, BLOCK)])
    (file,) = block_files(options)
    os.truncate(file, size)
    store = metered(options)
    assert store.read_ranges(url, [ByteRange(0, BLOCK)]) == [data]
    assert store.meter.cache_faults == 1


def test_cache_keeps_within_its_capacity_and_drops_the_least_recently_used(options):
    cache = BlockCache(replace(options, capacity_bytes=10 * (BLOCK + HEADER)))
    for number in range(9):
        cache.put(KEY, number, memoryview(content(BLOCK, number)))
        os.utime(cache._path(KEY, number), (number, number))
    assert cache.get(KEY, 0) is not None
    for number in range(9, 12):
        cache.put(KEY, number, memoryview(content(BLOCK, number)))
        assert cache.usage().n_bytes <= cache.options.capacity_bytes
    held = [number for number in range(12) if cache.get(KEY, number) is not None]
    assert 0 in held
    assert {9, 10, 11} <= set(held)
    assert 1 not in held


def test_cache_count_that_was_lost_or_damaged_is_made_anew(options):
    cache = BlockCache(replace(options, capacity_bytes=5 * (BLOCK + HEADER)))
    state = Path(cache._root) / "state"
    for number in range(40):
        cache.put(KEY, number, memoryview(bytes(BLOCK)))
        if number % 7 == 3:
            state.write_bytes([b"", b"x" * 20, b"x" * 3][number % 3])
        assert cache.usage().n_bytes <= cache.options.capacity_bytes


def test_cache_clear_removes_all_and_says_how_much(options):
    cache = BlockCache(options)
    assert cache.clear() == CacheUsage(0, 0)
    for number in range(5):
        cache.put(KEY, number, memoryview(bytes(BLOCK)))
    assert cache.clear() == CacheUsage(5, 5 * (BLOCK + HEADER))
    assert cache.usage() == CacheUsage(0, 0)
    cache.put(KEY, 0, memoryview(bytes(BLOCK)))
    assert cache.usage().blocks == 1


def _no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_cache_full_disk_reads_through_and_warns_once(options, url, monkeypatch, caplog):
    monkeypatch.setattr(BlockCache, "put", _no_space)
    cache_store._warned.clear()
    data = content(5000)
    FsspecStore().write_bytes(url, data)
    store = metered(options)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert store.read_bytes(url) == data
    assert store.meter.cache_faults == 15
    assert len(caplog.records) == 1


def test_cache_folder_that_is_a_file_reads_through(options, url):
    Path(options.folder).write_text("in the way")
    data = content(5000)
    FsspecStore().write_bytes(url, data)
    store = metered(options)
    assert store.read_ranges(url, [ByteRange(0, 5000)]) == [data]
    assert store.meter.cache_faults


def test_cache_folder_must_be_local():
    with pytest.raises(ValidationError, match="s3://b/cache is not local"):
        CacheSettings(folder="s3://b/cache")
    assert CacheOptions.of(CacheSettings()) is None


def test_cache_is_asked_first_in_a_store_with_one(options):
    store = open_store(StorageOptions(cache=options))
    assert isinstance(store, CachedStore)
    assert not isinstance(open_store(), CachedStore)


def _hammer(options, seed):
    """Put and get blocks at random; tells blocks that were wrong, and the most bytes seen."""
    cache, draw = BlockCache(options), random.Random(seed)
    wrong = most = 0
    for step in range(150):
        number = draw.randrange(40)
        expected = content(BLOCK, number)
        found = cache.get(KEY, number)
        if found is None:
            cache.put(KEY, number, memoryview(expected))
        else:
            wrong += bytes(found) != expected
        if step % 10 == 0:
            files = [each for each in Path(options.folder).rglob("*") if each.suffix]
            most = max(most, sum(_size(each) for each in files))
    return wrong, most


def _size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_cache_processes_share_it_within_its_capacity(options):
    few = replace(options, capacity_bytes=12 * (BLOCK + HEADER))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn) as pool:
        found = list(pool.map(_hammer, [few] * 4, range(4)))
    assert [wrong for wrong, _ in found] == [0] * 4
    # A process that waits for its turn has written one block that is not admitted yet.
    assert max(most for _, most in found) <= few.capacity_bytes + 4 * (BLOCK + HEADER)
    assert BlockCache(few).usage().n_bytes <= few.capacity_bytes


def _fill_until_killed(options, ready):
    cache, number = BlockCache(options), 0
    while True:
        cache.put(KEY, number % 60, memoryview(content(BLOCK, number % 60)))
        number += 1
        if number == 5:
            ready.set()


def test_cache_survives_processes_killed_at_any_moment(options):
    few = replace(options, capacity_bytes=20 * (BLOCK + HEADER))
    spawn, draw = multiprocessing.get_context("spawn"), random.Random(5)
    for _ in range(6):
        ready = spawn.Event()
        worker = spawn.Process(target=_fill_until_killed, args=(few, ready))
        worker.start()
        assert ready.wait(60)
        # Some work of any length lies between; the moment of the end is not to be known.
        sum(range(draw.randrange(3_000_000)))
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        cache = BlockCache(few)
        for number in range(60):
            found = cache.get(KEY, number)
            assert found is None or bytes(found) == content(BLOCK, number)
        assert cache.usage().n_bytes <= few.capacity_bytes
    cache._evict(0)
    assert not list(Path(few.folder).rglob("*.pending"))
