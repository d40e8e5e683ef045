"""`strata run` as a user starts it: a process of its own, the JVM's start included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.processes import run_command

__all__ = ["Bench", "WholeRun"]

SETTINGS = """
corpus = "bench"
warehouse = "{folder}/wh"
[[inputs]]
path = "{corpus}/*.jsonl.zst"
source = "bench"
[tokenize]
tokenizer = "{tokenizer}"
"""


@dataclass(frozen=True, slots=True)
class WholeRun:
    """One run: its wall-clock seconds from command to exit, its peaks of memory, and its report."""

    seconds: float
    peak_mb: dict[str, float]
    report: dict[str, Any]

    @property
    def text_mb(self) -> float:
        """MB (10^6 bytes) of text that were read."""
        return float(self.stage("shard")["counters"]["text_bytes"]) / 1e6

    @property
    def session_seconds(self) -> float:
        """What the start of Spark added."""
        return float(self.report["session_seconds"])

    @property
    def working_seconds(self) -> float:
        """Command to exit without the start of Spark."""
        return self.seconds - self.session_seconds

    def stage(self, name: str) -> dict[str, Any]:
        """The report of a stage."""
        found: dict[str, Any] = next(s for s in self.report["stages"] if s["stage"] == name)
        return found


@dataclass(frozen=True, slots=True)
class Bench:
    """What whole runs have in common: a corpus, a tokenizer file, a folder for warehouses."""

    corpus: Corpus
    tokenizer: Path
    scratch: Path

    def run(self, *options: str) -> WholeRun:
        """All stages on a fresh warehouse."""
        shutil.rmtree(self.scratch / "wh", ignore_errors=True)
        return self.again(*options)

    def again(self, *options: str) -> WholeRun:
        """The same command once more."""
        done = run_command([*self._strata("run"), "--json", "-q", *options])
        return WholeRun(done.seconds, done.peak_mb, json.loads(done.stdout))

    def scores(self) -> dict[str, Any]:
        """The survivors of the last run, scored against exact Jaccard, where there are pairs."""
        if self.corpus.evaluate is None:
            return {}
        out = self.scratch / "out"
        subprocess.run(
            [*self._strata("export", "documents"), "--to", str(out)],
            check=True,
            capture_output=True,
        )
        survivors = str(out / "documents.parquet")
        done = subprocess.run(
            [sys.executable, str(self.corpus.evaluate), survivors],
            check=True,
            capture_output=True,
            text=True,
        )
        scores: dict[str, Any] = json.loads(done.stdout)
        return scores

    def _strata(self, *command: str) -> Sequence[str]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        file = self.scratch / "bench.toml"
        file.write_text(
            SETTINGS.format(
                folder=self.scratch, corpus=self.corpus.folder, tokenizer=self.tokenizer
            )
        )
        return [sys.executable, "-m", "strata.jobs.console", *command, str(file)]
