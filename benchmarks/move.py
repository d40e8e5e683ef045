"""Moving a table to a colder tier, against a loop of plain pyarrow that recompresses its files."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.corpus import Corpus
from benchmarks.processes import run_command

__all__ = ["MoveRound", "measure_move"]

SETTINGS = """
corpus = "bench"
warehouse = "{folder}/wh"
[[inputs]]
path = "{corpus}/*.jsonl.zst"
source = "bench"
[shard]
target_file_mb = {file_mb}
[tiers.hot]
url = "{folder}/hot"
level = 3
[tiers.cold]
url = "{folder}/cold"
level = {level}
[tables]
documents = "hot"
"""
FILE_MB = 8


@dataclass(frozen=True, slots=True)
class MoveRound:
    """The same files moved by both; seconds on the wall, without starts of programs.

    Attributes:
        level: zstd level of the colder tier.
        files: number of files.
        megabytes: their size on disk before.
        loop_seconds: of the loop.
        move_seconds: of the move: copied, read back, compared and published.
        loop_megabytes: size on disk that the loop left.
        move_megabytes: size on disk that the move left.
    """

    level: int
    files: int
    megabytes: float
    loop_seconds: float
    move_seconds: float
    loop_megabytes: float
    move_megabytes: float

    @property
    def ratio(self) -> float:
        """Speed of the move, where that of the loop is 1."""
        return self.loop_seconds / self.move_seconds


def measure_move(corpus: Corpus, scratch: Path, level: int, cores: int, rounds: int) -> MoveRound:
    """The median round; loop and move take turns.

    Args:
        corpus: *.jsonl.zst, so large that half a second of starts is lost in the whole.
        scratch: folder for tables.
        level: zstd level of the colder tier.
        cores: processes of the loop, and of Spark.
        rounds: how often each of both.
    """
    found = _rounds(corpus, scratch, level, cores, rounds)
    return sorted(found, key=lambda each: each.ratio)[rounds // 2]


def _rounds(corpus: Corpus, folder: Path, level: int, cores: int, rounds: int) -> list[MoveRound]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "bench.toml"
    values = {"folder": folder, "corpus": corpus.folder, "level": level, "file_mb": FILE_MB}
    file.write_text(SETTINGS.format(**values))
    _strata(file, cores, "shard")
    _strata(file, cores, "compress")
    return [_round(file, folder, level, cores) for _ in range(rounds)]


def _round(file: Path, folder: Path, level: int, cores: int) -> MoveRound:
    sources = [Path(each["url"].removeprefix("file://")) for each in _files(file)]
    size = sum(path.stat().st_size for path in sources)
    target = folder / "loop"
    loop = _loop(sources, target, level, cores)
    loop_size = sum(path.stat().st_size for path in target.iterdir())
    shutil.rmtree(target)
    report = _move(file, cores, "cold")
    (pair,) = report["details"]["moves"]
    _move(file, cores, "hot")
    return MoveRound(
        level,
        len(sources),
        size / 1e6,
        loop,
        report["phases"]["move"],
        loop_size / 1e6,
        pair["bytes_after"] / 1e6,
    )


def _move(file: Path, cores: int, tier: str) -> dict[str, Any]:
    rule = f'lifecycle=[{{tables=["documents"], to="{tier}"}}]'
    report = json.loads(_strata(file, cores, "storage", "move", "--set", rule, "--grace", "0"))
    stage: dict[str, Any] = report["stages"][0]
    return stage


def _files(file: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "strata.jobs.console", "storage", "files", str(file), "--json"]
    done = run_command([*command, "--table", "documents"])
    files: list[dict[str, Any]] = json.loads(done.stdout)["files"]
    return files


def _strata(file: Path, cores: int, *command: str) -> str:
    place = 2 if command[0] == "storage" else 1
    line = [*command[:place], str(file), *command[place:], "--json", "-q"]
    return run_command(
        [sys.executable, "-m", "strata.jobs.console", *line, "--master", f"local[{cores}]"]
    ).stdout


def _loop(sources: Sequence[Path], target: Path, level: int, cores: int) -> float:
    """Recompress files in so many processes that have imported all they need."""
    target.mkdir()
    # A fork would take over the threads of whatever this process has done before.
    with multiprocessing.get_context("spawn").Pool(cores, _ready) as pool:
        pool.map(_nothing, range(cores))
        tasks = [(path, target / path.name, level) for path in sources]
        start = time.perf_counter()
        pool.starmap(_recompress, tasks, chunksize=1)
        return time.perf_counter() - start


def _ready() -> None:
    os.environ["ARROW_NUM_THREADS"] = "1"


def _nothing(_: int) -> None:
    time.sleep(0.2)


def _recompress(source: Path, target: Path, level: int) -> None:
    file = pq.ParquetFile(source, pre_buffer=False)
    names = file.schema_arrow.names
    with pq.ParquetWriter(
        target,
        file.schema_arrow,
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in names if name in ("source", "lang")],
    ) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group, use_threads=False))
