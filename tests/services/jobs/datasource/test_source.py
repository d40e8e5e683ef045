"""The format ``strata`` on a cluster, with the package from a zip only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyspark

from strata.jobs.session.shipping import build_archive
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import library_texts, write_shards
from tests.support.processes.bare_python import bare_environment, make_bare_python
from tests.support.sequential import sequential_context
from tests.support.servers.spark import SparkCluster

TIMEOUT = 300
SCRIPT = """
import json, sys
from pyspark.sql import SparkSession, functions as f
from strata.jobs.read_tables import read_table

spark = SparkSession.builder.getOrCreate()
frame = read_table(spark, sys.argv[1], "documents", columns=["doc_id", "text"], where="n_bytes > 0")
rows = frame.select("doc_id", f.length("text").alias("n")).orderBy("doc_id").collect()
open(sys.argv[2], "w").write(json.dumps([[row.doc_id, row.n] for row in rows]))
"""


def test_source_on_a_cluster_with_a_zip_same_rows(
    spark_cluster: SparkCluster, tmp_path: Path
) -> None:
    texts = library_texts(30)
    write_shards(tmp_path / "in", texts, 3)
    conf = tmp_path / "web.toml"
    conf.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path}/wh"\n[[inputs]]\npath = "{tmp_path}/in"\n'
    )
    run_shard(
        sequential_context(
            Settings(
                corpus="web",
                warehouse=str(tmp_path / "wh"),
                inputs=[{"path": str(tmp_path / "in")}],  # type: ignore[list-item]
            )
        )
    )
    python = make_bare_python(tmp_path / "bare")
    (tmp_path / "read_web.py").write_text(SCRIPT)
    environment = bare_environment() | {
        "JAVA_HOME": str(spark_cluster.java_home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
    }

    done = subprocess.run(
        [
            str(Path(pyspark.__file__).parent / "bin" / "spark-submit"),
            *("--master", spark_cluster.master),
            *("--driver-memory", "600m", "--executor-memory", "600m"),
            *("--py-files", str(build_archive(tmp_path / "strata.zip"))),
            *(str(tmp_path / "read_web.py"), str(conf), str(tmp_path / "rows.json")),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=tmp_path,
        env=environment,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert sorted(n for _, n in rows) == sorted(len(text) for text in texts)
