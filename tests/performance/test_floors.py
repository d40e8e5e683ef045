"""Speed must not fall below these floors, and counts must be exact.

Floors are ratios to something else that the same machine does in the same minute, about half of
what was measured, so that a busy machine passes and a step that became twice as slow does not.
"""

from __future__ import annotations

import os

import pytest

from benchmarks.limit import Limit
from benchmarks.parts import YARDSTICK, Figure
from benchmarks.whole_run import WholeRun

# MB/s of a part for each MB/s that zstd compresses at level 3.
AGAINST_ZSTD = {
    "read JSON lines, not compressed": 1.0,
    "MinHash sketch, 256 places": 0.9,
    "content hash, 128 bit": 8.0,
}
# MB/s of a part for each MB/s of the library that it builds on.
AGAINST_LIBRARY = {
    "read JSON lines, 1 of 100 broken": 0.7,
    "read Parquet (zstd 3) to Arrow": 0.4,
    "write documents (zstd 3), checksums, atomic": 0.6,
    "tokenize (gigatoken), warm": 0.7,
}
# The same work's processor seconds in tasks, and its seconds from command to exit without the start
# of Spark; on so little text the fixed cost of workers and commits rules the latter.
TASKS_AGAINST_LIMIT = 0.2
RUN_AGAINST_LIMIT = 0.03
# Random words; natural text takes 7 to 8.
BITS_PER_TOKEN = 13
SURVIVORS = 5_987
TOKENS = 6_861_945


@pytest.mark.parametrize("name", AGAINST_ZSTD)
def test_part_keeps_its_pace_to_zstd(parts: dict[str, Figure], name: str) -> None:
    assert parts[name].rate / parts[YARDSTICK].rate >= AGAINST_ZSTD[name]


@pytest.mark.parametrize("name", AGAINST_LIBRARY)
def test_part_keeps_its_pace_to_its_library(parts: dict[str, Figure], name: str) -> None:
    ratio = parts[name].ratio
    assert ratio is not None
    assert ratio >= AGAINST_LIBRARY[name]


def test_tasks_keep_their_pace_to_the_limit(runs: list[WholeRun], limit: Limit) -> None:
    used = [
        sum(stage["counters"]["cpu_seconds"] for stage in run.report["stages"])
        for run in (runs[0], runs[2])
    ]
    assert limit.cpu_seconds / min(used) >= TASKS_AGAINST_LIMIT


def test_run_keeps_its_pace_to_the_limit(runs: list[WholeRun], limit: Limit) -> None:
    cores = len(os.sched_getaffinity(0))
    fastest = min(run.working_seconds for run in (runs[0], runs[2]))
    assert limit.total / cores / fastest >= RUN_AGAINST_LIMIT


def test_run_counts_are_exact_and_equal_to_the_limit(runs: list[WholeRun], limit: Limit) -> None:
    for run in (runs[0], runs[2]):
        assert run.stage("dedup")["rows_out"] == SURVIVORS
        assert run.stage("tokenize")["counters"]["tokens"] == TOKENS
    assert limit.survivors == SURVIVORS
    # The run ends each document with one more token.
    assert limit.tokens + limit.survivors == TOKENS


def test_run_again_starts_no_jvm(runs: list[WholeRun]) -> None:
    assert {stage["status"] for stage in runs[1].report["stages"]} == {"skipped"}
    assert runs[1].session_seconds == 0
    assert runs[1].seconds < runs[0].seconds / 2


def test_tokens_take_few_bits(runs: list[WholeRun]) -> None:
    table = runs[2].report["tables"]["tokens"]
    assert table["bytes"] * 8 / TOKENS <= BITS_PER_TOKEN
