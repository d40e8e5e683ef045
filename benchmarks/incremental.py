"""Deduplication of new inputs beside old ones, against deduplication of everything."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.processes import run_command

__all__ = ["Step", "measure_incremental"]

SETTINGS = """
corpus = "{name}"
warehouse = "{folder}/wh"
[[inputs]]
path = "{folder}/in/*.jsonl.zst"
source = "bench"
[dedup]
memory_documents = {memory_documents}
audit_documents = 0
"""
MEMORY = {"in memory": 1_000_000_000, "by a shuffle": 0}
NEW_SHARE = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One run of `strata dedup`.

    Attributes:
        way: in memory or by a shuffle.
        what: everything at once, the old documents, or the new ones beside them.
        documents: in the corpus then.
        new: documents that no earlier run had compared.
        rows: keys that were compared.
        seconds: of the stage, without the start of Spark.
        removed: documents.
    """

    way: str
    what: str
    documents: int
    new: int
    rows: int
    seconds: float
    removed: int


def measure_incremental(corpus: Corpus, scratch: Path) -> list[Step]:
    """One of eight parts of the files comes later than the others.

    Args:
        corpus: *.jsonl.zst.
        scratch: folder for links and tables.
    """
    files = sorted(corpus.folder.glob("*.jsonl.zst"))
    late = files[::NEW_SHARE] if len(files) > 1 else []
    early = [file for file in files if file not in late]
    home = scratch / "incremental"
    shutil.rmtree(home, ignore_errors=True)
    steps = []
    for way, memory in MEMORY.items():
        for name, parts in (("parts", (early, late)), ("once", ([*early, *late],))):
            folder = home / f"{name}-{memory}"
            (folder / "in").mkdir(parents=True)
            settings = folder / "bench.toml"
            settings.write_text(SETTINGS.format(name=name, folder=folder, memory_documents=memory))
            for number, part in enumerate(parts):
                _link(part, folder / "in")
                what = "new documents" if number else "everything" if name == "once" else "old"
                steps.append(_step(way, what, settings))
        shutil.rmtree(home)
    return steps


def _link(files: Iterable[Path], folder: Path) -> None:
    for number, file in enumerate(files, len(list(folder.iterdir()))):
        # Files that come later sort later, so both ways number the documents alike.
        (folder / f"{number:05d}-{file.name}").symlink_to(file.resolve())


def _step(way: str, what: str, settings: Path) -> Step:
    _strata("shard", settings)
    stage = _strata("dedup", settings)["stages"][0]
    details = stage["details"]
    return Step(
        way=way,
        what=what,
        documents=stage["rows_in"],
        new=details["new_documents"],
        rows=details["compared_rows"],
        seconds=stage["seconds"],
        removed=sum(stage["removed"].values()),
    )


def _strata(command: str, settings: Path) -> dict[str, Any]:
    done = run_command(
        [sys.executable, "-m", "strata.jobs.console", command, str(settings), "--json", "-q"]
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report
