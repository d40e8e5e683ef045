"""Decontamination on a real session: the same matches for any files, and what tokenize leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from strata.pipelines.execution.stage import StageContext, StageReport
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from tests.support.corpora.texts import json_lines, library_texts, with_copies, write_shards
from tests.support.rows import exported

Make = Callable[..., StageContext]
TRAIN = {"train": {"vocab_size": 600, "sample_mb": 0.2}}


def passages(texts: list[str], words: int) -> list[str]:
    """A passage out of the middle of each text, in other case."""
    cut = [text.split() for text in texts]
    return [" ".join(part[len(part) // 2 :][:words]).upper() for part in cut]


def searched(context: StageContext) -> StageReport:
    run_shard(context)
    report = run_decontaminate(context)
    assert report is not None
    return report


def test_decontaminate_any_files_and_partitions_same_matches(
    context_of: Make, tmp_path: Path
) -> None:
    texts = with_copies(library_texts(40))
    items = passages(texts[:8], 30)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "items.jsonl").write_bytes(json_lines(items))
    run_shard(context_of([{"path": str(tmp_path / "bench")}], "bench"))
    dedup = {"decontaminate": ["bench"]}
    inputs = [{"path": str(write_shards(tmp_path / "in", texts, 4))}]
    usual = context_of(inputs, dedup=dedup, tokenize=TRAIN)
    tiers = {"warehouse_small": {"url": str(tmp_path / "small"), "row_group_mb": 0.05}}
    split = {"split_mb": 0.01, "landing": "warehouse_small", "target_file_mb": 0.05}
    other = context_of(inputs, "other", dedup=dedup, shard=split, tiers=tiers)

    report, in_pieces = searched(usual), searched(other)

    assert len(other.corpus.table("documents").files()) > 1
    assert exported(other, "contained") == exported(usual, "contained")
    assert {row["other_id"] for row in exported(usual, "contained")} >= {
        f"doc-{n}" for n in range(8)
    }
    assert in_pieces.details == report.details
    run_dedup(usual)
    tokens = run_tokenize(usual)
    found = {row["id"] for row in exported(usual, "contained")}
    assert tokens.removed["contaminated"] <= len(found)
    assert {row["id"] for row in exported(usual, "documents")}.isdisjoint(found)
    assert tokens.rows_out == len(exported(usual, "documents"))
