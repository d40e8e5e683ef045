"""The stages on a real session: what they publish, and what a rerun, a fault or a change does."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from strata.errors import InputError, RejectLimitError
from strata.pipelines.dedup import search as edge_search
from strata.pipelines.dedup.skewed_keys import SkewPolicy
from strata.pipelines.evaluation.tune import tune
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.stages import shard
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from tests.support.corpora.texts import json_lines, library_texts, with_copies, write_shards
from tests.support.oracles.shingles import jaccard_of
from tests.support.rows import exported, rows_of

Make = Callable[..., StageContext]
TRAIN = {"train": {"vocab_size": 600, "sample_mb": 0.2}}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return with_copies(library_texts(60))


def run_all(context: StageContext) -> list[StageReport]:
    return [stage(context) for stage in (run_shard, run_dedup, run_tokenize, run_compress)]


def rows(context: StageContext, table: str) -> list[dict[str, Any]]:
    return sorted(exported(context, table), key=lambda row: row.get("doc_id", 0))


def contents(context: StageContext) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(context, table) for table in ("documents", "clusters", "tokens", "rejects")}


def test_run_copies_removed_rest_tokenized(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    context = context_of([{"path": str(write_shards(tmp_path / "in", texts, 3))}], tokenize=TRAIN)

    shard_report, dedup, tokens, compress = run_all(context)

    assert shard_report.rows_out == len(texts)
    assert dedup.removed["exact"] == 12
    assert dedup.removed["fuzzy"] >= 7
    assert tokens.rows_out == dedup.rows_out == len(rows(context, "tokens"))
    assert compress.status is StageStatus.SKIPPED
    survivors = [row["text"] for row in rows(context, "documents")]
    assert len(set(survivors)) == len(survivors)
    assert set(survivors) <= set(texts)


def test_run_again_everything_skipped(context_of: Make, texts: list[str], tmp_path: Path) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts[:20], 2))}]
    run_all(context_of(inputs, tokenize=TRAIN))

    again = run_all(context_of(inputs, tokenize=TRAIN))

    assert {report.status for report in again} == {StageStatus.SKIPPED}


@pytest.mark.parametrize(("partitions", "split_mb"), [(1, 0.01), (7, 1.0)])
def test_run_shuffled_other_partitions_same_content(
    context_of: Make,
    spark: SparkSession,
    texts: list[str],
    tmp_path: Path,
    partitions: int,
    split_mb: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two equal documents are enough to make a key heavy.
    monkeypatch.setattr(edge_search, "SKEW_POLICY", SkewPolicy(share=50, least=2))
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 4))}]
    usual = context_of(inputs, tokenize=TRAIN)
    run_all(usual)
    shuffled = {"memory_documents": 0}
    split = {"split_mb": split_mb}
    other = context_of(inputs, "other", tokenize=TRAIN, shard=split, dedup=shuffled)
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", partitions)
    try:
        run_all(other)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)

    assert contents(other) == contents(usual)


@pytest.mark.parametrize("link", ["cluster", "direct"])
def test_dedup_ledger_made_by_spark_same_as_in_memory(
    context_of: Make, texts: list[str], tmp_path: Path, link: str
) -> None:
    words = [f"w{number}" for number in range(400)]
    drifting = [" ".join(words[start : start + 300]) for start in range(0, 100, 25)]
    other = context_of([{"path": str(write_shards(tmp_path / "old", texts[5:9], 1))}], "old")
    run_shard(other)
    inputs = [{"path": str(write_shards(tmp_path / "in", [*texts, *drifting], 2))}]
    dedup = {"survivor": ["longest", "first"], "link": link, "against": ["old"]}
    by_driver = context_of(inputs, "driver", dedup=dedup)
    wide = {**dedup, "memory_documents": 0, "driver_edges": 0}
    by_spark = context_of(inputs, "spark", dedup=wide)
    told = []
    for context in (by_driver, by_spark):
        run_shard(context)
        told.append(run_dedup(context).details.duplicates)

    assert told[0] == told[1]
    assert sum(size.removed for size in told[0].sizes) >= 19

    assert rows_of(by_spark, "clusters") == rows_of(by_driver, "clusters")
    assert (
        min(row["kept_id"] for row in rows_of(by_spark, "clusters"))
        < 0
        < len(rows_of(by_spark, "clusters"))
    )


def test_dedup_audit_same_for_other_partitions_and_files(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 2))}]
    dedup = {"audit_documents": 30}
    usual = context_of(inputs, "usual", dedup=dedup)
    split = {"split_mb": 0.01, "target_file_mb": 0.02}
    other = context_of(inputs, "other", dedup=dedup | {"memory_documents": 0}, shard=split)
    for context in (usual, other):
        run_shard(context)

    audits = [run_dedup(context).details.audit for context in (usual, other)]

    assert audits[0] == audits[1]
    assert audits[0].precision.value == 1
    assert audits[0].removed_documents >= 19
    assert len(other.corpus.table("documents").files()) > 2


@pytest.mark.parametrize("wide", [{}, {"memory_documents": 0, "driver_edges": 0}])
def test_dedup_exact_only_true_pairs_stay(
    context_of: Make, tmp_path: Path, wide: dict[str, int]
) -> None:
    words = [f"w{place}" for place in range(400)]
    family = [" ".join([f"x{other}"] * other + words[other:]) for other in range(0, 200, 8)]
    inputs = [{"path": str(write_shards(tmp_path / "in", [*family, *family[:3]], 3))}]
    dedup = {"threshold": 0.7, "ngram": 2, **wide}
    sketch = context_of(inputs, "sketch", dedup=dedup)
    exact = context_of(inputs, "exact", dedup=dedup | {"verify": "exact"})
    for context in (sketch, exact):
        run_shard(context)

    reports = [run_dedup(context) for context in (sketch, exact)]

    texts = {row["doc_id"]: row["text"] for row in rows_of(exact, "documents")}
    found = {name: rows_of(each, "edges") for name, each in zip("se", (sketch, exact), strict=True)}
    true = {
        (row["a"], row["b"])
        for row in found["s"]
        if jaccard_of(texts[row["a"]], texts[row["b"]], 2) >= 0.7
    }
    assert {(row["a"], row["b"]) for row in found["e"]} == true
    assert len(found["s"]) > len(true) > 10
    details = reports[1].details
    assert details.pairs_read >= details.pairs_refuted == len(found["s"]) - len(true)
    assert reports[1].details.audit.precision.value == 1
    assert found["e"] == sorted(found["e"], key=lambda row: (row["a"], row["b"]))


def test_tune_same_for_other_files_but_for_seconds(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 2))}]
    split = {"split_mb": 0.01, "target_file_mb": 0.02}
    contexts = [context_of(inputs, "usual"), context_of(inputs, "other", shard=split)]
    for context in contexts:
        run_shard(context)

    tunings = [tune(context) for context in contexts]

    usual, other = ([replace(each, seconds=0) for each in tuning.outcomes] for tuning in tunings)
    assert usual == other
    assert usual[tunings[0].present].recall == 1
    assert contexts[0].corpus.table("edges").files() == []


def test_shard_truncated_file_costs_only_that_file(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "in", texts[:30], 3)
    whole = gzip.compress(json_lines(texts[30:40]))
    (folder / "part-9.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    context = context_of([{"path": str(folder)}], shard={"max_reject_ratio": 0.9})

    report = run_shard(context)

    assert report.rejected == {"truncated_file": 1}
    assert {row["text"] for row in rows(context, "documents")} == set(texts[:30])
    (rejected,) = rows(context, "rejects")
    assert rejected["uri"].endswith("part-9.jsonl.gz")


def test_shard_too_many_rejects_nothing_published(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "in", texts[:10], 1)
    (folder / "bad.jsonl").write_bytes(b'{"text": 1}\n{"text": null}\n')
    context = context_of([{"path": str(folder)}])

    with pytest.raises(RejectLimitError, match=r"text_not_string at .*bad\.jsonl:0"):
        run_shard(context)

    assert context.corpus.existing_tables() == []


def test_shard_new_input_appended_with_next_ordinals(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "in", texts[:10], 1)
    first = context_of([{"path": str(folder)}])
    run_shard(first)
    before = rows(first, "documents")
    (folder / "a-new.jsonl").write_bytes(json_lines(texts[10:20], 10))

    report = run_shard(context_of([{"path": str(folder)}]))

    assert report.rows_in == 10
    assert rows(first, "documents")[:10] == before
    assert len(rows(first, "documents")) == 20


def test_shard_changed_input_refused_then_rebuilt(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "in", texts[:10], 1)
    run_shard(context_of([{"path": str(folder)}]))
    (folder / "part-0.jsonl").write_bytes(json_lines(texts[:4]))

    with pytest.raises(InputError, match=r"changed or are gone.*part-0"):
        run_shard(context_of([{"path": str(folder)}]))
    context = context_of([{"path": str(folder)}], shard={"changed_inputs": "rebuild"})
    run_shard(context)

    assert len(rows(context, "documents")) == 4


@pytest.mark.parametrize("published", [1, 2, 3])
def test_shard_died_while_publishing_rerun_finishes(
    context_of: Make,
    texts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    published: int,
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts[:20], 2))}]
    calls: list[str] = []

    def dying(table: Any, *args: Any, **kwargs: Any) -> None:
        if len(calls) == published:
            raise KeyboardInterrupt
        calls.append(table.name)
        publish(table, *args, **kwargs)

    publish = shard.publish
    monkeypatch.setattr(shard, "publish", dying)
    with pytest.raises(KeyboardInterrupt):
        run_shard(context_of(inputs))
    monkeypatch.setattr(shard, "publish", publish)
    # Another file arrives before the rerun: what was half published must not be counted twice.
    (tmp_path / "in" / "zz.jsonl").write_bytes(json_lines(texts[20:25], 20))
    context = context_of(inputs)
    run_shard(context)

    assert len(rows(context, "documents")) == 25
    fingerprints = context.corpus.table("fingerprints").files()
    assert sum(file.rows for file in fingerprints) == 25


def test_shard_files_within_factor_of_two(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    # Compressed files cannot be split, so the small one is a task, and at first a file, of its own.
    (folder / "big.jsonl.gz").write_bytes(gzip.compress(json_lines(texts * 20), 1))
    (folder / "small.jsonl.gz").write_bytes(gzip.compress(json_lines(texts[:5], 99_000), 1))
    context = context_of(
        [{"path": str(folder)}],
        shard={"target_file_mb": 0.5, "split_mb": 2},
        tiers={"t": {"url": str(tmp_path / "t"), "row_group_mb": 0.3}},
        tables={"documents": "t"},
    )

    report = run_shard(context)

    sizes = [file.n_bytes for file in context.corpus.table("documents").files()]
    assert report.rows_out == len(texts) * 20 + 5
    assert len(sizes) > 2
    assert max(sizes) <= 2 * min(sizes)


def test_compress_tiers_files_moved_keys_kept(
    context_of: Make, texts: list[str], tmp_path: Path
) -> None:
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 2))}]
    sections = {
        "tokenize": TRAIN,
        "tiers": {
            "hot": {"url": str(tmp_path / "hot"), "codec": "lz4"},
            "cold": {"url": str(tmp_path / "cold"), "codec": "zstd", "level": 12},
        },
    }
    plain = context_of(inputs, tokenize=TRAIN)
    run_all(plain)
    before = contents(plain)
    tables = {"documents": "cold", "tokens": "hot"}

    moved = context_of(inputs, **sections, tables=tables)
    report = run_compress(moved)
    again = [stage(moved) for stage in (run_shard, run_dedup, run_tokenize, run_compress)]

    assert set(report.details.tables) == {"documents", "tokens"}
    (document_file,) = {file.codec for file in moved.corpus.table("documents").files()}
    assert document_file == "zstd"
    assert all(
        str(tmp_path / "cold") in file.url for file in moved.corpus.table("documents").files()
    )
    assert contents(moved) == before
    assert {entry.status for entry in again} == {StageStatus.SKIPPED}


def test_run_tasks_worker_killed_once_retried(spark: SparkSession, tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")

    def work(number: int) -> int:
        import os
        import signal

        if number == 2:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return number * 10
            os.kill(os.getpid(), signal.SIGKILL)
        return number * 10

    assert run_tasks(spark, work, [1, 2, 3]) == [10, 20, 30]
    assert Path(marker).exists()


def test_run_tasks_terminal_error_keeps_type_without_retry(
    spark: SparkSession, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"

    def work(number: int) -> int:
        with calls.open("a") as file:
            file.write(".")
        raise InputError(f"input {number} is bad", hint="mend it")

    with pytest.raises(InputError, match="input 1 is bad"):
        run_tasks(spark, work, [1])

    assert calls.read_text() == "."
