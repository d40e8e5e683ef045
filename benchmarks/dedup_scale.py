"""What a document costs in dedup, from few to many, and how a family of a million is dealt with.

`strata dedup` runs as a user starts it, on fingerprints made from real text (see fingerprints.py):
documents have no text here, so dedup alone is measured. Bytes and tasks are those of Spark's event
log.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.fingerprints import Prints, banners, copies, real_prints, write_warehouse
from benchmarks.processes import run_command
from strata.settings import InputSettings, Settings

__all__ = ["Deduped", "StageCost", "measure_family", "measure_growth"]

SIZES = (1, 4, 16)
FAMILY = 1_000_000
PARTITIONS = 64
# Where bands alone are shuffled, all partitions stay, so that a large one is seen.
WAYS = {
    "memory": {"memory_documents": 10**9, "driver_edges": 10**9, "coalesce": "true"},
    "shuffle": {"memory_documents": 0, "driver_edges": 10**9, "coalesce": "false"},
    "shuffle, ledger too": {"memory_documents": 0, "driver_edges": 1000, "coalesce": "true"},
}
SETTINGS = """
corpus = "bench"
warehouse = "{folder}/wh"
[[inputs]]
path = "{folder}/none"
[dedup]
memory_documents = {memory_documents}
driver_edges = {driver_edges}
audit_documents = 0
[spark]
"spark.sql.shuffle.partitions" = {partitions}
"spark.sql.adaptive.coalescePartitions.enabled" = {coalesce}
"spark.eventLog.enabled" = true
"spark.eventLog.compress" = false
"spark.eventLog.rolling.enabled" = false
"spark.eventLog.dir" = "file://{folder}/events"
"""


@dataclass(slots=True)
class StageCost:
    """What the tasks of one Spark stage did."""

    rows_read: list[int] = field(default_factory=list)
    shuffle_bytes: int = 0
    spilled_bytes: int = 0

    def add(self, event: dict[str, Any]) -> None:
        """Add an ended task."""
        metrics = event["Task Metrics"]
        self.rows_read.append(metrics["Shuffle Read Metrics"]["Total Records Read"])
        self.shuffle_bytes += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
        self.spilled_bytes += metrics["Disk Bytes Spilled"]

    @property
    def skew(self) -> float:
        """Rows of the largest task for one of the mean."""
        return max(self.rows_read) * len(self.rows_read) / max(1, sum(self.rows_read))


@dataclass(frozen=True, slots=True)
class Deduped:
    """One run of dedup.

    Attributes:
        way: how edges and ledger were made.
        name: of the corpus.
        documents: how many.
        report: the stage's report.
        peak_mb: peak memory by role.
        cpu_seconds: processor time of the whole command.
        stages: Spark's stages.
    """

    way: str
    name: str
    documents: int
    report: dict[str, Any]
    peak_mb: dict[str, float]
    cpu_seconds: float
    stages: list[StageCost]

    @property
    def seconds(self) -> float:
        """Of the stage, without the start of Spark."""
        return float(self.report["seconds"])

    @property
    def edges(self) -> int:
        """Distinct edges."""
        return int(self.report["details"]["edges"])

    @property
    def band_stage(self) -> StageCost:
        """The stage that shuffles bands, which moves most bytes of all."""
        return max(self.stages, key=lambda stage: stage.shuffle_bytes)

    @property
    def scan_stage(self) -> StageCost | None:
        """The stage that scans buckets, right after it; none where bands are sorted in memory."""
        place = self.stages.index(self.band_stage)
        return self.stages[place + 1] if self.band_stage.shuffle_bytes else None

    @property
    def shuffle_bytes(self) -> int:
        """Bytes of all shuffles, compressed."""
        return sum(stage.shuffle_bytes for stage in self.stages)


def measure_growth(corpus: Corpus, scratch: Path) -> list[Deduped]:
    """Dedup of a corpus, and of up to 16 copies of it, each way."""
    base = real_prints(corpus)
    runs = []
    for size in SIZES:
        made = partial(copies, base, size)
        runs += [_run(scratch, f"{size}×", made(), way) for way in WAYS]
    return runs


def measure_family(corpus: Corpus, scratch: Path) -> list[Deduped]:
    """Dedup of a million documents without, and with, a million nearly equal ones beside them."""
    base = real_prints(corpus)
    number = FAMILY // len(base.n_shingles)
    both = [*copies(base, number), *banners(FAMILY)]
    parts = {"distinct": both[:number], "one family": both[number:], "both": both}
    return [
        _run(scratch, name, iter(some), way)
        for name, some in parts.items()
        for way in ("memory", "shuffle")
    ]


def _run(scratch: Path, name: str, parts: Iterator[Prints], way: str) -> Deduped:
    folder = (scratch / "dedup").resolve()
    shutil.rmtree(folder / "events", ignore_errors=True)
    (folder / "events").mkdir(parents=True)
    file = folder / "dedup.toml"
    file.write_text(SETTINGS.format(folder=folder, partitions=PARTITIONS, **WAYS[way]))
    inputs = (InputSettings(path=str(folder / "none")),)
    settings = Settings(corpus="bench", warehouse=str(folder / "wh"), inputs=inputs)
    documents = write_warehouse(settings, parts)
    command = [sys.executable, "-m", "strata.jobs.console", "dedup", str(file), "--json", "-q"]
    done = run_command(command)
    (report,) = json.loads(done.stdout)["stages"]
    stages = _stages(folder / "events")
    return Deduped(way, name, documents, report, done.peak_mb, done.cpu_seconds, stages)


def _stages(events: Path) -> list[StageCost]:
    """Spark's stages in the order in which they began."""
    found: dict[int, StageCost] = defaultdict(StageCost)
    (log,) = events.iterdir()
    with log.open() as lines:
        for line in lines:
            event = json.loads(line)
            if event["Event"] == "SparkListenerTaskEnd":
                found[event["Stage ID"]].add(event)
    return [found[number] for number in sorted(found)]
