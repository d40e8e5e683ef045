"""The format ``strata`` against Spark's own Parquet reader and a plain ``mapInArrow``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.corpus import Corpus
from strata.jobs.read_tables import read_table
from strata.jobs.runner.progress import QuietProgress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.stages.shard import run_shard
from strata.settings import InputSettings, Settings, ShardSettings
from strata.storage.layout.records import TableFile
from strata.storage.tables.claim import open_to_write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["ReadFigure", "data_source_table", "measure_data_source"]

ROUNDS = 5
SOURCE, PARQUET, ARROW = "strata", "spark.read.parquet", "mapInArrow"
CONF = 'corpus = "bench"\nwarehouse = "{folder}/wh"\n[[inputs]]\npath = "{inputs}"\n'
CONF += "[shard]\ntarget_file_mb = 16\n"


@dataclass(frozen=True, slots=True)
class ReadFigure:
    """Seconds of one way to read, the median of the rounds, its planning counted."""

    case: str
    way: str
    seconds: float
    parts: int


def measure_data_source(corpus: Corpus, scratch: Path) -> list[ReadFigure]:
    """Read the same table in every way, in turns, in one warm session."""
    scratch.mkdir(parents=True, exist_ok=True)
    conf = scratch / "bench.toml"
    conf.write_text(CONF.format(folder=scratch, inputs=corpus.folder))
    settings = Settings(
        corpus="bench",
        warehouse=str(scratch / "wh"),
        inputs=(InputSettings(path=str(corpus.folder)),),
        shard=ShardSettings(target_file_mb=16),
        spark={"spark.ui.enabled": False, "spark.ui.showConsoleProgress": False},
    )
    session = LazySession(settings, "local[2]", "bench")
    try:
        context = StageContext(settings, open_to_write(settings), "bench", session, QuietProgress())
        run_shard(context)
        files = context.corpus.table("documents").files()
        return [
            figure
            for case, ways in _cases(session(), conf, files).items()
            for figure in _measured(case, ways)
        ]
    finally:
        session.stop()


Ways = dict[str, Callable[[], "DataFrame"]]


def _cases(spark: SparkSession, conf: Path, files: Sequence[TableFile]) -> dict[str, Ways]:
    urls = [file.url for file in files]
    every = pq.read_schema(files[0].location.path).names
    middle = files[len(files) // 2]
    where = f"doc_id = {middle.min_doc_id}"

    def case(columns: list[str]) -> Ways:
        return {
            SOURCE: lambda: read_table(spark, conf, "documents", columns=columns),
            PARQUET: lambda: spark.read.parquet(*urls).select(*columns),
            ARROW: lambda: _map_in_arrow(spark, urls, columns),
        }

    return {
        "all columns": case(every),
        "one column": case(["n_bytes"]),
        "one document": {
            SOURCE: lambda: read_table(spark, conf, "documents", where=where),
            PARQUET: lambda: spark.read.parquet(*urls).where(where),
            # By hand: the file that has it, and Spark for the row.
            ARROW: lambda: _map_in_arrow(spark, [middle.url], every).where(where),
        },
    }


def _map_in_arrow(spark: SparkSession, urls: list[str], columns: list[str]) -> DataFrame:
    """What one writes without a data source: files, two parts a core, read by pyarrow."""
    parts = [urls[number::4] for number in range(4) if urls[number::4]]
    schema = spark.read.parquet(*urls).select(*columns).schema
    target = to_arrow_schema(schema, timezone="UTC")

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                for url in parts[number]:
                    file = pq.ParquetFile(url.removeprefix("file://"))
                    for found in file.iter_batches(4096, columns=columns, use_threads=False):
                        yield found.select(columns).cast(target)

    return spark.range(0, len(parts), 1, len(parts)).mapInArrow(read, schema)


def _measured(case: str, ways: Ways) -> Iterator[ReadFigure]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    parts = {way: make().rdd.getNumPartitions() for way, make in ways.items()}
    for number in range(ROUNDS + 1):
        for way, make in ways.items():
            start = time.monotonic()
            make().write.format("noop").mode("overwrite").save()
            # The first round warms workers and the JIT.
            if number:
                seconds[way].append(time.monotonic() - start)
    for way, found in seconds.items():
        yield ReadFigure(case, way, median(found), parts[way])


def data_source_table(figures: Sequence[ReadFigure]) -> list[tuple[str, str, str, str, int]]:
    """Rows of a table: seconds, and how many times as long as Spark's own reader."""
    own = {figure.case: figure.seconds for figure in figures if figure.way == PARQUET}
    return [
        (
            figure.case,
            figure.way,
            f"{figure.seconds:.2f}",
            f"{figure.seconds / own[figure.case]:.2f} ×",
            figure.parts,
        )
        for figure in figures
    ]
