"""`strata run` as a user starts it: a process of its own, the JVM's start included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus

SETTINGS = """
corpus = "bench"
warehouse = "{folder}/wh"
[[inputs]]
path = "{corpus}/*.jsonl.zst"
source = "bench"
[tokenize]
{tokenizer}
"""


@dataclass(frozen=True)
class WholeRun:
    """One run: its wall-clock seconds from command to exit, its report, and its scores."""

    seconds: float
    again_seconds: float
    report: dict[str, Any]
    scores: dict[str, Any]

    @property
    def text_mb(self) -> float:
        """MB of text that were read."""
        return float(self.report["stages"][0]["counters"]["text_bytes"]) / 1e6


def measure_run(corpus: Corpus, scratch: Path, tokenizer: str) -> WholeRun:
    """Run all stages on a fresh warehouse, then once more with nothing to do."""
    shutil.rmtree(scratch / "wh", ignore_errors=True)
    file = scratch / "bench.toml"
    text = SETTINGS.format(folder=scratch, corpus=corpus.folder, tokenizer=tokenizer)
    file.write_text(text)
    command = [sys.executable, "-m", "strata.jobs.cli", "run", str(file), "--json", "-q"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    again = time.perf_counter() - start
    return WholeRun(seconds, again, json.loads(done.stdout), _scores(corpus, file, scratch))


def _scores(corpus: Corpus, file: Path, scratch: Path) -> dict[str, Any]:
    if corpus.evaluate is None:
        return {}
    out = scratch / "out"
    export = [sys.executable, "-m", "strata.jobs.cli", "export", "documents", str(file)]
    subprocess.run([*export, "--to", str(out)], check=True, capture_output=True)
    survivors = str(out / "documents.parquet")
    done = subprocess.run(
        [sys.executable, str(corpus.evaluate), survivors],
        check=True,
        capture_output=True,
        text=True,
    )
    scores: dict[str, Any] = json.loads(done.stdout)
    return scores
