"""Stages on a corpus that was relocated: a moved one is up to date, a copy grows on its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from strata.pipelines.execution.stage import StageStatus
from strata.settings import Settings
from strata.storage.relocation.destinations import Kind
from tests.support.corpora.relocated import collect, relocate
from tests.support.corpora.retracted import contents, run_all, write_records
from tests.support.sequential import sequential_context

RECORDS = {
    "a.jsonl": [
        {"id": f"d{number}", "text": f"document number {number % 7} " + f"word{number % 7} " * 30}
        for number in range(12)
    ]
}
LATER = {"b.jsonl": [{"id": "later", "text": "what only the copy of the corpus has read " * 5}]}


def at(folder: Path, inputs: Path) -> Settings:
    return Settings.model_validate(
        {
            "corpus": "web",
            "warehouse": str(folder / "wh"),
            "inputs": [{"path": f"{inputs}/*.jsonl"}],
            "tiers": {"cold": {"url": str(folder / "cold"), "level": 9}},
            "tables": {"documents": "cold"},
            "tokenize": {"train": {"vocab_size": 300, "sample_mb": 0.1}},
        }
    )


def statuses(settings: Settings) -> set[StageStatus]:
    return {report.status for report in run_all(sequential_context(settings))}


def rows(settings: Settings) -> dict[str, object]:
    return dict(contents(sequential_context(settings)))


def files(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_stages_are_up_to_date_after_a_move_and_a_copy_leaves_its_original_alone(
    tmp_path: Path,
) -> None:
    old, new, copied = tmp_path / "old", tmp_path / "new", tmp_path / "copy"
    write_records(tmp_path / "in", RECORDS)
    statuses(at(old, tmp_path / "in"))
    before = rows(at(old, tmp_path / "in"))
    old.rename(new)
    moved = at(new, tmp_path / "in")
    relocate(moved)
    assert statuses(moved) == {StageStatus.SKIPPED}
    assert rows(moved) == before
    collect(moved)
    assert rows(moved) == before
    assert not old.exists()

    shutil.copytree(new, copied)
    copy = at(copied, tmp_path / "in")
    original = files(new)
    relocate(copy, Kind.COPY)
    assert statuses(copy) == {StageStatus.SKIPPED}
    write_records(tmp_path / "in", LATER)
    assert StageStatus.DONE in statuses(copy)
    collect(copy)
    assert files(new) == original
    (tmp_path / "in" / "b.jsonl").unlink()
    collect(moved)
    assert rows(moved) == before
    grown = rows(copy)
    assert json.dumps(grown["documents"], default=str).count("what only the copy") > 0
