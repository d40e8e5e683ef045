"""distributed-curator on Spark 3.5, from Parquet to Parquet without the start of its session.

14 bands of 8 rows at 0.8, as datatrove has them, over its 9-grams of characters. The documents
become Parquet beforehand, unmeasured: its Spark cannot read zstd without Hadoop's native library.
"""

from __future__ import annotations

import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from distributed_curator import (
    get_jar_path,
    partition_aware_deduplicate,
    spark_partition_aware_deduplication,
    two_phase_partition_aware_union_find,
)
from pyspark.sql import SparkSession

from benchmarks.peers.measure import (
    Answer,
    Clock,
    Task,
    read_documents,
    read_task,
    write_survivors,
)

MEMORY = "6g"
BANDS, ROWS = 14, 8
FILES = 8


def main() -> None:
    """Deduplicate and count what was kept."""
    task = read_task(__doc__)
    documents = _write_parquet(task)
    clock = Clock()
    with clock.phase("session"):
        spark = _start(task)
    # It would leave its checkpoints in the machine's folder for temporary files.
    for module in (spark_partition_aware_deduplication, two_phase_partition_aware_union_find):
        module.get_checkpoint_dir = lambda name, **_: str(task.out / name)
    with clock.phase("minhash"):
        _deduplicate(spark, task)
    kept = pq.ParquetDataset(task.out / "kept").read(columns=["doc_id"])["doc_id"].to_pylist()
    spark.stop()
    write_survivors(task, kept)
    Answer("distributed-curator", documents, survivors=len(kept)).print_with(clock)


def _deduplicate(spark: SparkSession, task: Task) -> None:
    marked = partition_aware_deduplicate(
        spark=spark,
        input_df=spark.read.parquet(str(task.out / "input")),
        similarity_threshold=0.8,
        num_hashes=BANDS * ROWS,
        num_bands=BANDS,
        num_partitions=task.workers * 4,
        is_input_doc_id_unique=True,
    )
    marked.filter(~marked.is_duplicate).write.parquet(str(task.out / "kept"))


def _write_parquet(task: Task) -> int:
    folder = task.out / "input"
    folder.mkdir()
    rows = [{"doc_id": each["id"], "text": each["text"]} for each in read_documents(task)]
    for part in range(FILES):
        pq.write_table(pa.Table.from_pylist(rows[part::FILES]), folder / f"part-{part}.parquet")
    return len(rows)


def _start(task: Task) -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    partitions = task.workers * 4
    settings = {
        "spark.jars": get_jar_path(),
        "spark.driver.memory": MEMORY,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(task.out / "spark"),
        "spark.sql.shuffle.partitions": partitions,
        "spark.default.parallelism": partitions,
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    builder = SparkSession.builder.master(f"local[{task.workers}]").appName("peer")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


if __name__ == "__main__":
    main()
