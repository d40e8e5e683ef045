"""Tables of a corpus as Spark DataFrames, in any Spark session: the format ``strata``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strata.jobs.datasource.source import FORMAT, StrataSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["read_table", "register"]


def register(spark: SparkSession) -> None:
    """Make ``spark.read.format("strata")`` known to a session."""
    spark.dataSource.register(StrataSource)


def read_table(
    spark: SparkSession,
    conf: Path | str,
    table: str,
    *,
    columns: Sequence[str] = (),
    where: str = "",
    snapshot: int | str | None = None,
) -> DataFrame:
    """A table of a corpus, as it is now.

    Args:
        spark: any session.
        conf: the settings file of the corpus.
        table: name of the table.
        columns: the columns to read, all by default. Name them: a Python data source does not learn
            from Spark which columns a query uses, so columns that are not needed are read in vain.
        where: which rows, such as "doc_id >= 5 and source in ('web', 'wiki')". It leaves out files
            by their partitions and bounds, and row groups by theirs; filters of queries do not.
        snapshot: id or tag of an older state.

    Raises:
        pyspark.errors.AnalysisException: there is no such table, column or snapshot.
    """
    register(spark)
    reader = spark.read.format(FORMAT).option("conf", str(Path(conf).absolute()))
    reader = reader.option("table", table).option("columns", ",".join(columns))
    reader = reader.option("where", where)
    return reader.option("snapshot", "" if snapshot is None else str(snapshot)).load()
