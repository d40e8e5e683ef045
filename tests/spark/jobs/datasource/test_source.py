"""The format ``strata`` on a real session: a table on two tiers, pruned, as of one snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import Row

from strata.jobs.read_tables import read_table, register
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses
from strata.toml_text import toml_value
from tests.support.corpora.texts import json_lines, library_texts, with_copies, write_shards
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

NEW = 9
CONF = """
corpus = "web"
warehouse = "{folder}/wh"
shard = {{ target_file_mb = 0.05 }}
tokenize = {{ train = {{ vocab_size = 400, sample_mb = 0.1 }} }}
compress = {{ tables = ["documents"] }}
tables = {{ documents = "cloud" }}
[[inputs]]
path = "{folder}/in"
[tiers.cloud]
url = "{cloud}"
row_group_mb = 0.02
[storage_options]
"s3://bucket" = {options}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("source")


@pytest.fixture(scope="module")
def conf(folder, s3_options) -> Path:
    # Python processes that Spark starts know the environment that its JVM began with.
    options = toml_value(s3_options | {"secret": "secret"})
    text = CONF.format(folder=folder, cloud=f"s3://bucket/{uuid4().hex}", options=options)
    path = folder / "web.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def context(conf, folder):
    """A corpus that was moved to the object store, and then got new documents on the disk."""
    from strata.layers import load_settings

    write_shards(folder / "in", with_copies(library_texts(40)), 3)
    settings: Settings = load_settings(conf).settings
    context = sequential_context(settings, "first")
    run_shard(context)
    run_compress(context)
    more = [f"Another text, number {n}: {uuid4().hex}" for n in range(NEW)]
    (folder / "in" / "part-9.jsonl").write_bytes(
        json_lines(more, 900, lang="de", date="2023-05-01")
    )
    for stage in (run_shard, run_dedup, run_tokenize):
        stage(context)
    return context


@pytest.fixture(scope="module")
def documents(context):
    """Reads the table `documents`."""
    return rows_of(context, "documents")


def plain(frame):
    rows = [row.asDict(recursive=True) for row in frame.collect()]
    for row in rows:
        row |= {name: bytes(v) for name, v in row.items() if isinstance(v, bytes | bytearray)}
        # Spark gives times without a zone, in that of the machine.
        row |= {name: v.astimezone(UTC) for name, v in row.items() if isinstance(v, datetime)}
    return sorted(rows, key=lambda row: row["doc_id"])


def source(spark, conf, table="documents", **options):
    register(spark)
    reader = spark.read.format("strata").options(conf=str(conf), table=table, **options)
    return reader.load()


@pytest.mark.parametrize("table", ["documents", "clusters", "tokens"])
def test_source_of_two_tiers_same_rows_as_the_files(spark, conf, context, table):
    frame = read_table(spark, conf, table)

    assert plain(frame) == rows_of(context, table)
    assert [(f.name, f.nullable) for f in frame.schema] == [
        (f.name, f.nullable) for f in SCHEMAS[table]
    ]


def test_spark_parquet_of_the_file_list_same_rows_and_types(spark, conf, context):
    files = [str(file.location) for file in context.corpus.table("tokens").files()]

    parquet = spark.read.parquet(*files)
    frame = read_table(spark, conf, "tokens")

    assert plain(parquet) == plain(frame)
    assert [f.dataType.simpleString() for f in parquet.schema] == [
        f.dataType.simpleString() for f in frame.schema
    ]


def test_source_columns_in_the_order_asked_for(spark, conf, documents, context):
    frame = read_table(spark, conf, "documents", columns=["n_bytes", "doc_id"])

    assert frame.columns == ["n_bytes", "doc_id"]
    assert sorted(frame.collect(), key=lambda row: row.doc_id) == [
        Row(n_bytes=row["n_bytes"], doc_id=row["doc_id"]) for row in documents
    ]


def test_source_large_files_are_divided_and_small_ones_packed(spark, conf, context):
    files = context.corpus.table("documents").files()

    assert source(spark, conf).rdd.getNumPartitions() == 1
    divided = source(spark, conf, part_mb="0.005")
    assert divided.rdd.getNumPartitions() > len(files)
    assert divided.count() == sum(file.rows for file in files)


def test_source_condition_on_bounds_reads_fewer_parts(spark, conf, documents, context):
    last = documents[-1]["doc_id"]

    every = source(spark, conf, part_mb="0.005")
    found = source(spark, conf, part_mb="0.005", where=f"doc_id >= {last}")

    assert found.rdd.getNumPartitions() < every.rdd.getNumPartitions() / 2
    assert plain(found) == [documents[-1]]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("id = 'doc-3'", lambda row: row["id"] == "doc-3"),
        ("id like 'doc-90%'", lambda row: row["id"].startswith("doc-90")),
        ("n_bytes > 5000 and n_bytes <= 9000", lambda row: 5000 < row["n_bytes"] <= 9000),
        ("lang = 'de'", lambda row: row["lang"] == "de"),
        ("lang in ('de', 'en')", lambda row: row["lang"] in ("de", "en")),
        ("doc_id < 0", lambda row: row["doc_id"] < 0),
        ("created >= '2023-05-01T00:00:00Z'", lambda row: row["created"] is not None),
        ("created < '2023-05-01T00:00:00Z'", lambda _: False),
    ],
)
def test_source_condition_has_all_that_holds(spark, conf, documents, condition, holds, context):
    frame = source(spark, conf, part_mb="0.005", where=condition)

    assert plain(frame) == [row for row in documents if holds(row)] == plain(frame.where(condition))


def test_source_condition_on_a_column_that_is_not_read(spark, conf, documents, context):
    frame = read_table(spark, conf, "documents", columns=["doc_id"], where="lang = 'de'")

    assert plain(frame) == [{"doc_id": r["doc_id"]} for r in documents if r["lang"] == "de"]


def test_source_filters_of_queries_do_not_meet_each_other(spark, conf, documents, context):
    frame = source(spark, conf, columns="doc_id")
    last = documents[-1]["doc_id"]

    one = frame.where(f"doc_id = {last}")

    assert one.count() == 1
    assert frame.count() == len(documents)
    assert one.union(frame).count() == len(documents) + 1
    assert frame.where("doc_id = 0").union(one).distinct().count() == 2


def test_source_reads_one_snapshot_whatever_comes_after(spark, conf, context, folder, documents):
    before = source(spark, conf, columns="doc_id")
    named = context.corpus.table("documents").snapshots()
    first = source(spark, conf, columns="doc_id", snapshot=str(named[0].snapshot_id))
    iceberg = context.corpus.table("documents").iceberg()
    iceberg.manage_snapshots().create_tag(named[0].snapshot_id, "v1").commit()
    (folder / "in" / "part-a.jsonl").write_bytes(json_lines(["One text more."], 990))
    run_shard(context)

    assert before.count() == len(documents)
    assert first.count() == source(spark, conf, snapshot="v1").count() == len(documents) - NEW
    assert source(spark, conf).count() == len(documents) + 1


def test_source_notes_what_is_read_in_the_access_log(spark, conf, context):
    (file, *_) = context.corpus.table("clusters").files()

    def reads():
        log = read_accesses(context.store, accesses_folder(context.corpus.warehouse, "web"))
        return sum(log.of(file.location.name).reads.values())

    before = reads()
    frame = source(spark, conf, "clusters")
    frame.count()

    assert reads() == before + 1


def test_source_of_a_table_without_rows_is_empty(spark, conf, context):
    frame = read_table(spark, conf, "contained")

    assert frame.columns == SCHEMAS["contained"].names
    assert frame.count() == 0


def test_source_by_warehouse_and_options_same_rows(spark, conf, context, folder):
    register(spark)
    reader = spark.read.format("strata").options(
        warehouse=f"{folder}/wh", corpus="web", table="clusters"
    )

    assert plain(reader.load()) == rows_of(context, "clusters")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colums": "doc_id"}, "no option colums"),
        ({"columns": "doc_id,txt"}, "option columns of format strata is 'txt'"),
        ({"table": "docs"}, "option table of format strata is 'docs'"),
        ({"snapshot": "v7"}, "has no snapshot v7"),
        ({"where": "n_bytes is null"}, "IsNull in"),
        ({"part_mb": "all"}, "option part_mb"),
        ({"warehouse": "/nowhere", "corpus": "web"}, "which corpus to read"),
    ],
)
def test_source_wrong_option_is_told(spark, conf, context, options, told):
    given = {"table": "documents"} | options

    with pytest.raises(PySparkException, match=told):
        source(spark, conf, **given)


def test_source_secret_in_an_option_is_refused_and_not_shown(spark, context, folder):
    register(spark)
    reader = spark.read.format("strata").options(
        warehouse=f"{folder}/wh",
        corpus="web",
        table="documents",
        storage_options='{"s3://bucket": {"secret": "hunter2"}}',
    )

    with pytest.raises(PySparkException, match="carries the value of secret") as caught:
        reader.load()
    assert "hunter2" not in str(caught.value)


def test_source_given_schema_is_refused(spark, conf, context):
    register(spark)
    reader = spark.read.format("strata").options(conf=str(conf), table="documents")

    with pytest.raises(PySparkException, match="has its own schema"):
        reader.schema("doc_id long").load().collect()
