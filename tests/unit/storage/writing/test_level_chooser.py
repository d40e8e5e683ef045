import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from strata.settings import TierSettings
from strata.storage.contracts.store import Output
from strata.storage.layout.schemas import EDGES
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.writing.level_chooser import FileCost, LevelChooser, Trial
from strata.storage.writing.parquet import ParquetLayout, TableWriter

# Nanoseconds a byte, and the share of the bytes that is left, of an imagined codec.
CODEC = {1: (2, 0.50), 3: (4, 0.45), 6: (10, 0.41), 9: (20, 0.39), 12: (60, 0.38)}
LEVELS = sorted(CODEC)
RAW = 100_000_000


def trial(level):
    nanoseconds, share = (
        np.interp(level, LEVELS, column) for column in zip(*CODEC.values(), strict=True)
    )
    return Trial(float(nanoseconds) * 1e-9, float(share))


def cost_of(level, rate, *, is_behind, slowness=1.0):
    """What a file costs on a machine that is so many times as slow as the trials."""
    busy = trial(level).seconds * RAW * slowness
    n_bytes = round(trial(level).n_bytes * RAW)
    sending = n_bytes / rate
    waited = max(0.0, sending - busy) if is_behind else sending
    return FileCost(RAW, n_bytes, busy, waited, is_behind)


def settled(rate, start=3, **machine):
    chooser = LevelChooser(1, 12, start)
    for _ in range(25):
        chooser.observe(cost_of(chooser.level, rate, **machine), trial)
    return chooser.level


def seconds(level, rate, **machine):
    cost = cost_of(level, rate, **machine)
    return cost.busy + cost.waited


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize("slowness", [1.0, 4.0])
@pytest.mark.parametrize("start", [1, 3, 12])
@pytest.mark.parametrize("rate", [1e6, 1e7, 1e8, 1e9, 1e12])
def test_chooser_settles_within_a_tenth_of_the_best_level(rate, start, slowness, is_behind):
    machine = {"is_behind": is_behind, "slowness": slowness}
    best = min(seconds(level, rate, **machine) for level in LEVELS)

    assert seconds(settled(rate, start, **machine), rate, **machine) <= 1.1 * best


def cost_with_tail(level, rate, tail):
    """What a file costs whose last ``tail`` bytes are sent once all are compressed."""
    cost = cost_of(level, rate, is_behind=True)
    return replace(cost, waited=max(cost.waited, min(tail, cost.n_bytes) / rate))


@pytest.mark.parametrize("tail", [8e6, 32e6])
@pytest.mark.parametrize("rate", [1e7, 1e8, 2e8, 4e8, 1e9])
def test_chooser_takes_the_wait_for_the_last_parts_for_no_slow_store(rate, tail):
    chooser = LevelChooser(1, 12, 3)
    for _ in range(25):
        chooser.observe(cost_with_tail(chooser.level, rate, tail), trial)

    costs = {level: cost_with_tail(level, rate, tail) for level in {*LEVELS, chooser.level}}
    took = {level: cost.busy + cost.waited for level, cost in costs.items()}
    assert took[chooser.level] <= 1.1 * min(took.values())


def test_chooser_slow_store_high_level_fast_store_low_level():
    assert settled(1e5, is_behind=False) == 12
    assert settled(1e12, is_behind=False) == 1


def test_chooser_follows_a_store_that_becomes_slow():
    chooser = LevelChooser(1, 12, 3)
    for rate in [1e12] * 5 + [1e5] * 12:
        chooser.observe(cost_of(chooser.level, rate, is_behind=True), trial)
        if rate == 1e12:
            fast = chooser.level

    assert fast == 1
    # The last step would gain less than measurements tell.
    assert chooser.level >= 9


def test_chooser_noise_does_not_move_it():
    chooser = LevelChooser(1, 12, 3)
    taken = set()
    for number in range(20):
        cost = cost_of(chooser.level, 1e8, is_behind=False, slowness=1.02 if number % 2 else 0.98)
        chooser.observe(cost, trial)
        taken.add(chooser.level)

    assert len(taken) <= 2


def test_chooser_stays_within_its_range():
    chooser = LevelChooser(3, 9, 19)

    assert chooser.level == 9
    for _ in range(5):
        chooser.observe(cost_of(3, 1e12, is_behind=False), trial)
    assert chooser.level == 3


class SlowOutput(Output):
    def __init__(self, inner):
        self._inner = inner

    def write(self, data):
        time.sleep(memoryview(data).nbytes / 300_000)
        return self._inner.write(data)

    def tell(self):
        return self._inner.tell()

    def close(self):
        self._inner.close()
        super().close()

    def discard(self):
        self._inner.discard()


class SlowStore(FsspecStore):
    def create(self, url):
        return SlowOutput(super().create(url))


def edges(count):
    # Neighbours that differ little compress better at high levels.
    rows = {"a": [n // 7 for n in range(count)], "b": [n * n % 977 for n in range(count)]}
    rows |= {"similarity": [n % 13 / 13 for n in range(count)], "equal": [False] * count}
    return pa.RecordBatch.from_pydict(rows, schema=EDGES)


def test_writer_files_tell_the_level_they_have_and_rows_are_the_same(folder):
    layout = ParquetLayout("zstd", 3, 100_000, 10_000, level_range=(1, 19))
    batch = edges(40_000)

    with TableWriter(SlowStore(), folder, "edges", layout, "t") as writer:
        writer.write(batch)
        files = writer.close()

    levels = [file.url.rpartition("zstd-")[2].partition(".")[0] for file in files]
    assert levels[0] == "3"
    assert {file.metadata.metadata[b"strata.level"].decode() for file in files} == set(levels)
    assert all(layout.holds("zstd", int(level)) for level in levels)
    assert sum(file.rows for file in files) == batch.num_rows


@pytest.mark.parametrize(
    ("codec", "level", "expected"),
    [
        ("zstd", 1, True),
        ("zstd", 9, True),
        ("zstd", 10, False),
        ("gzip", 3, False),
        ("", None, False),
    ],
)
def test_layout_holds_levels_of_its_range(codec, level, expected):
    tier = TierSettings(url="x", level_range=(1, 9))
    layout = ParquetLayout.of(tier, 128)

    assert layout.holds(codec, level) is expected
    assert layout.tag == "zstd-1..9"
    assert layout.at(7).tag == "zstd-7"


@pytest.mark.parametrize(
    ("codec", "level_range"),
    [("zstd", (0, 3)), ("zstd", (5, 5)), ("zstd", (1, 23)), ("gzip", (1, 10)), ("lz4", (1, 2))],
)
def test_level_range_that_cannot_be_refused(codec, level_range):
    with pytest.raises(ValueError, match="is no range of levels"):
        TierSettings(url="x", codec=codec, level_range=level_range)
