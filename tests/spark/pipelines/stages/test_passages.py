"""Passages on a real session: both ways and any number of partitions give the same cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from tests.support.corpora.texts import library_texts, with_copies, write_shards
from tests.support.oracles.passages import repeated_words, words_of
from tests.support.rows import exported, rows_of

Make = Callable[..., StageContext]
GRAINS = {"passages": "line", "passage_words": 5, "substring_words": 12}
TRAIN = {"train": {"vocab_size": 600, "sample_mb": 0.2}}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    whole = library_texts(40, 6_000)
    pairs = zip(whole, whole[7:], strict=False)
    mixed = [one[:900] + "\nbetween them\n" + other[300:2000] for one, other in pairs]
    inner = " ".join(whole[3].split()[20:120])
    return [*with_copies(whole), *mixed, inner, "la " * 500, "中文" * 90 + "\n" + "la " * 90]


def cuts(context: StageContext) -> list[tuple[Any, ...]]:
    found = [tuple(row.values()) for row in rows_of(context, "cuts")]
    assert len(found) == len(set(found))
    return sorted(found)


@pytest.mark.parametrize("partitions", [1, 5])
def test_cuts_shuffled_same_as_in_memory(
    context_of: Make, spark: SparkSession, texts: list[str], tmp_path: Path, partitions: int
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 3))}]
    memory = context_of(inputs, "memory", dedup=GRAINS)
    wide = context_of(
        inputs,
        "wide",
        dedup={**GRAINS, "memory_passages": 0},
        shard={"split_mb": 0.02, "target_file_mb": 0.05},
        tiers={"t": {"url": str(tmp_path / "t"), "row_group_mb": 0.02}},
        tables={"documents": "t"},
    )
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", partitions)
    try:
        reports = [_cut(context) for context in (memory, wide)]
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)

    assert cuts(wide) == cuts(memory)
    assert {row["grain"] for row in rows_of(wide, "cuts")} == {"line", "substring"}
    assert reports[1].details.passages == reports[0].details.passages
    assert reports[1].rows_out == reports[0].rows_out


def _cut(context: StageContext) -> StageReport:
    run_shard(context)
    return run_dedup(context)


def test_run_repeated_words_are_gone_and_a_rerun_skips(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 2))}]
    sections = {"dedup": {"substring_words": 12}, "tokenize": TRAIN}
    context = context_of(inputs, **sections)
    stages = (run_shard, run_dedup, run_tokenize, run_compress)
    reports = [stage(context) for stage in stages]

    removed = {row["doc_id"] for row in rows_of(context, "clusters") if not row["kept"]}
    kept = {
        row["doc_id"]: row["text"]
        for row in rows_of(context, "documents")
        if row["doc_id"] not in removed
    }
    marks = repeated_words(list(kept.values()), 12)
    left = {
        doc_id: [word.text for word, gone in zip(words_of(text), mark, strict=True) if not gone]
        for (doc_id, text), mark in zip(kept.items(), marks, strict=True)
    }
    clean = {row["doc_id"]: row["text"] for row in rows_of(context, "clean")}
    assert {d: [word.text for word in words_of(text)] for d, text in clean.items()} == {
        doc_id: words for doc_id, words in left.items() if words
    }
    assert reports[2].removed["all_repeated"] == sum(not words for words in left.values()) > 0
    assert {row["doc_id"]: row["text"] for row in exported(context, "documents")} == clean
    again = [stage(context_of(inputs, **sections)) for stage in stages]
    assert {report.status for report in again} == {StageStatus.SKIPPED}
