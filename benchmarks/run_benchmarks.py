"""`make bench`: measures, and writes benchmarks/results/results.md and .json.

Machines differ and are noisy: the ratios of one run mean more than its absolute figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.corpus import find_corpus  # noqa: E402 (after the path)
from benchmarks.parts import Figure, measure_parts  # noqa: E402
from benchmarks.whole_run import WholeRun, measure_run  # noqa: E402

VERSIONS = ("corpus-strata", "pyspark", "pyarrow", "numba", "gigatoken", "tokenizers")


def main() -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="whole runs, of which the median counts"
    )
    parser.add_argument(
        "--tokenizer", default="train = { vocab_size = 32000 }", help="[tokenize] line"
    )
    arguments = parser.parse_args()
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as name:
        scratch = Path(name)
        corpus = find_corpus(ROOT, scratch)
        parts = measure_parts(corpus)
        tokenizer = arguments.tokenizer
        runs = [measure_run(corpus, scratch, tokenizer) for _ in range(arguments.rounds)]
    run = sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in VERSIONS},
    }
    text = _markdown(corpus.name, machine, parts, run, [each.seconds for each in runs])
    (results / "results.md").write_text(text)
    facts = {
        "corpus": corpus.name,
        "machine": machine,
        "parts": [asdict(part) for part in parts],
        "run_seconds": [round(each.seconds, 2) for each in runs],
        "again_seconds": round(run.again_seconds, 2),
        "stages": _stages(run),
        "scores": run.scores,
    }
    (results / "results.json").write_text(json.dumps(facts, indent=2) + "\n")
    sys.stdout.write(text)
    return 0


def _stages(run: WholeRun) -> dict[str, float]:
    stages = {stage["stage"]: round(stage["seconds"], 2) for stage in run.report["stages"]}
    return {"start of Spark": round(run.report["session_seconds"], 2), **stages}


def _markdown(
    corpus: str,
    machine: dict[str, object],
    parts: list[Figure],
    run: WholeRun,
    seconds: list[float],
) -> str:
    lines = [f"Corpus `{corpus}`, {run.text_mb:.0f} MB of text, {machine['cores']} cores.", ""]
    lines += ["| part, one core | MB/s | against |", "| --- | --- | --- |"]
    for part in parts:
        against = f"{part.ratio:.0f} × {part.against}" if part.ratio else ""
        lines.append(f"| {part.name} | {part.rate:,.0f} | {against} |")
    lines += ["", "| `strata run` | seconds |", "| --- | --- |"]
    lines.append(
        f"| command to exit, median of {len(seconds)} | {statistics.median(seconds):.1f} |"
    )
    lines += [f"| of it {name} | {value:.1f} |" for name, value in _stages(run).items()]
    lines.append(f"| the same command again, nothing to do | {run.again_seconds:.1f} |")
    if run.scores:
        names = ("recall@0.8", "recall@0.9", "false_removals@0.7", "false_removals@0.8", "orphaned")
        lines += ["", "| quality against exact Jaccard | |", "| --- | --- |"]
        lines += [f"| {name} | {run.scores[name]} |" for name in names]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
