"""What a user waits for besides the work: small inputs, reruns, help, and mistakes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import zstandard

from benchmarks.corpus import Corpus, decompressed
from benchmarks.whole_run import Bench

__all__ = ["await_class_data", "measure_startup"]

SMALL_BYTES = 5_000_000
ROUNDS = 3
BUILDER = b"class_data_build"


def measure_startup(bench: Bench, scratch: Path) -> dict[str, float]:
    """Seconds from command to exit, the median of several runs."""
    small = replace(bench, corpus=_small(bench.corpus, scratch / "small"))
    fresh = [small.run().seconds for _ in range(ROUNDS)]
    again = [small.again().seconds for _ in range(ROUNDS)]
    broken = scratch / "broken.toml"
    broken.write_text('corpus = "x"\ninputs = 3\n')
    return {
        "all stages on 5 MB of text": statistics.median(fresh),
        "the same again, nothing to do": statistics.median(again),
        "`strata --help`": _median("--help"),
        "an error in the settings": _median("run", str(broken)),
    }


def await_class_data(bench: Bench, scratch: Path) -> None:
    """Run once, and wait while the archive of Spark's classes is made that a first run leaves."""
    replace(bench, corpus=_small(bench.corpus, scratch / "small")).run()
    while any(BUILDER in command for command in _commands()):
        time.sleep(1)


def _commands() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield file.read_bytes()


def _small(corpus: Corpus, folder: Path) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    file = sorted(corpus.folder.glob("*.jsonl.zst"))[0]
    data = decompressed(file)[:SMALL_BYTES]
    lines = data[: data.rindex(b"\n") + 1]
    (folder / "small.jsonl.zst").write_bytes(zstandard.ZstdCompressor(3).compress(lines))
    return replace(corpus, folder=folder, evaluate=None)


def _median(*command: str) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "strata.jobs.console", *command], capture_output=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
