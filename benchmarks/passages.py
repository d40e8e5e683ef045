"""Lines, paragraphs and runs of words that repeat earlier text, each against a plain way.

Lines against Spark SQL: explode, normalise, hash, and number the rows of each hash. Runs of words
against NumPy: classes of all runs by prefix doubling (Manber, Myers 1993), as a suffix array has
them. Processor seconds are those of the tasks and of the JVM.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.corpus import Corpus
from strata.jobs.runner.progress import QuietProgress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.details import DedupDetails
from strata.pipelines.execution.stage import StageContext, StageReport
from strata.pipelines.export.rows import export_batches
from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.shingles import CURSOR, MAX_WORDS, multipliers, scan_words
from strata.pipelines.kernels.words import word_table
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from strata.storage.tables.claim import open_to_write

__all__ = ["PassageFigure", "measure_passages"]

LEAST_WORDS = 8
WIDTH = 50
QUIET = {"spark.ui.showConsoleProgress": False, "spark.driver.memory": "2g"}
GRAINS: dict[str, dict[str, Any]] = {
    "line": {"passages": "line", "passage_words": LEAST_WORDS},
    "paragraph": {"passages": "paragraph", "passage_words": LEAST_WORDS},
    "substring": {"substring_words": WIDTH},
}
LINES_BY_SQL = """
with lines as (
  select doc_id, posexplode(split(text, '\\n')) as (place, line) from survivors
), normal as (
  select doc_id, place, octet_length(line) + 1 as size,
    trim(regexp_replace(lower(line), '[^\\\\p{{L}}\\\\p{{N}}_]+', ' ')) as words from lines
), ranked as (
  select size, row_number() over (partition by xxhash64(words) order by doc_id, place) as number
  from normal where size(split(words, ' ')) >= {words}
)
select count(*) as cut, sum(size) as bytes from ranked where number > 1
"""


@dataclass(frozen=True, slots=True)
class PassageFigure:
    """What one way took for the survivors' text, and what it found to cut."""

    name: str
    text_mb: float
    seconds: float
    cpu_seconds: float
    cut: int
    mb_cut: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """MB of text for each processor second."""
        return self.text_mb / self.cpu_seconds


def measure_passages(corpus: Corpus, folder: Path) -> list[PassageFigure]:
    """All grains and the plain ways, after one round that is not counted."""
    session = LazySession(_settings(corpus, folder), None, "bench")
    try:
        return _measure(corpus, folder, session)
    finally:
        session.stop()


def _measure(corpus: Corpus, folder: Path, session: LazySession) -> list[PassageFigure]:
    first = _context(_settings(corpus, folder), session)
    run_shard(first)
    run_dedup(first)
    batches = export_batches(first.corpus, first.store, "documents")
    survivors = pa.Table.from_batches(batch.select(["doc_id", "text"]) for batch in batches)
    megabytes = pc.sum(pc.binary_length(survivors["text"])).as_py() / 1e6
    rounds = []
    # The first round compiles, in the workers and in the JVM.
    for _ in range(2):
        found = []
        for name, dedup in GRAINS.items():
            found.append(
                _ours(name, megabytes, _context(_settings(corpus, folder, dedup), session))
            )
            # Empties the table, so that the same settings find work again.
            run_dedup(first)
        found.insert(1, _by_sql(survivors, folder, megabytes, session))
        rounds.append(found)
    return [*rounds[-1], _by_doubling(survivors["text"].combine_chunks(), megabytes)]


def _settings(corpus: Corpus, folder: Path, dedup: dict[str, Any] | None = None) -> Settings:
    inputs = {"path": f"{corpus.folder}/*.jsonl.zst", "source": "bench"}
    given = {"inputs": [inputs], "dedup": dedup or {}, "spark": QUIET}
    return Settings.model_validate({"corpus": "bench", "warehouse": str(folder / "wh")} | given)


def _context(settings: Settings, session: LazySession) -> StageContext:
    run_id = f"bench-{time.monotonic_ns()}"
    return StageContext(settings, open_to_write(settings), run_id, session, QuietProgress())


def _ours(name: str, megabytes: float, context: StageContext) -> PassageFigure:
    report: StageReport[DedupDetails] | None = None

    def work() -> None:
        nonlocal report
        report = run_dedup(context)

    seconds, jvm = _timed(context.spark, work)
    assert report is not None
    passages = report.details.passages
    assert passages is not None
    told = passages[name]
    cost = report.counters
    return PassageFigure(
        f"{name}s" if name != "substring" else f"runs of {WIDTH} words",
        megabytes,
        seconds,
        jvm + cost.cpu_seconds,
        told.cut,
        told.bytes_cut / 1e6,
        cost.peak_worker_mb,
    )


def _by_sql(
    survivors: pa.Table, folder: Path, megabytes: float, session: LazySession
) -> PassageFigure:
    file = folder / "survivors.parquet"
    if not file.exists():
        pq.write_table(survivors, file, compression="zstd", row_group_size=2_000)
    answer: list[Any] = []

    def work() -> None:
        spark = session()
        spark.read.parquet(str(file)).createOrReplaceTempView("survivors")
        answer.append(spark.sql(LINES_BY_SQL.format(words=LEAST_WORDS)).first())

    seconds, jvm = _timed(session, work)
    cut, size = answer[0]
    name = "lines, by Spark SQL"
    return PassageFigure(name, megabytes, seconds, jvm, cut, size / 1e6, 0)


def _timed(session: Callable[[], Any], work: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock seconds of some work, and processor seconds of the JVM and this process."""
    pid = session().sparkContext._gateway.proc.pid
    began, before = time.perf_counter(), _cpu_seconds(pid) + time.process_time()
    work()
    return time.perf_counter() - began, _cpu_seconds(pid) + time.process_time() - before


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _by_doubling(texts: pa.LargeStringArray, megabytes: float) -> PassageFigure:
    """Every run of WIDTH words gets the number of its class; the later ones of a class repeat."""
    buffers = text_buffers(texts)
    _words(buffers.data[:0], np.zeros(2, np.int64), word_table(), multipliers())
    began, before = time.perf_counter(), time.process_time()
    words, owner = _words(buffers.data, buffers.offsets, word_table(), multipliers())
    classes = np.unique(words, return_inverse=True)[1]
    length = 1
    while length < WIDTH:
        step = min(length, WIDTH - length)
        high = classes[:-step].astype(np.uint64) << np.uint64(32)
        pairs = high | classes[step:].astype(np.uint64)
        classes = np.unique(pairs, return_inverse=True)[1]
        length += step
    whole = owner[: len(classes)] == owner[WIDTH - 1 :][: len(classes)]
    _, firsts = np.unique(classes, return_index=True)
    later = whole.copy()
    later[firsts] = False
    seconds, cpu = time.perf_counter() - began, time.process_time() - before
    name = f"runs of {WIDTH} words, by prefix doubling"
    # A word is covered where one of the WIDTH runs that hold it repeats; words are about equal.
    begun = np.concatenate([np.zeros(WIDTH, np.int64), np.cumsum(later), [0] * (WIDTH - 1)])
    begun[-WIDTH + 1 :] = begun[-WIDTH]
    share = np.count_nonzero(begun[WIDTH:] - begun[:-WIDTH]) / len(words)
    return PassageFigure(name, megabytes, seconds, cpu, int(later.sum()), share * megabytes, 0)


@numba.njit
def _words(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all words, and the text that each is of."""
    words = np.empty(len(data) // 2 + MAX_WORDS, np.uint64)
    owner = np.empty(len(words), np.int32)
    cursor, found = np.zeros(CURSOR, np.uint64), np.uint64(0)
    for i in range(len(offsets) - 1):
        start, stop = found, np.uint64(offsets[i + 1])
        cursor[0] = offsets[i]
        while cursor[0] < stop:
            found = scan_words(data, stop, table, factors, cursor, words, found)
        owner[start:found] = i
    return words[:found].copy(), owner[:found].copy()
