"""The tables as other engines read them: all give the same rows, of the same types."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import duckdb
import fsspec
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.jobs.cli import main
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.predicates import Comparison, Predicate
from strata.storage.reading.read_plan import ReadPart, pack, read_part
from strata.toml_text import toml_value
from tests.support.corpora.texts import json_lines, library_texts, with_copies, write_shards
from tests.support.sequential import sequential_context

NEW = 9
TABLES = ("documents", "clusters", "fingerprints")
# A program of its own: Arrow may abort a process that scanned through Python files as it ends.
PYICEBERG = """
import pickle, sys
import pyarrow.parquet as pq
from pyiceberg.table import StaticTable
place, properties, target = pickle.load(sys.stdin.buffer)
pq.write_table(StaticTable.from_metadata(place, properties).scan().to_arrow(), target)
print("written", flush=True)
"""


def canonical(table):
    """Rows in one order, with the types that all engines have names for."""
    plain = table.cast(pa.schema([(field.name, _wide(field.type)) for field in table.schema]))
    return plain.sort_by(plain.schema.names[0]).combine_chunks()


def _wide(kind):
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if "binary" in str(kind):
        return pa.large_binary()
    # Zones of one offset have several names.
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind


@pytest.fixture(scope="module")
def place(s3_options):
    return f"s3://bucket/{uuid4().hex}"


@pytest.fixture(scope="module")
def settings(tmp_path_factory, s3_options, place):
    folder = tmp_path_factory.mktemp("outside")
    write_shards(folder / "in", with_copies(library_texts(40)), 3)
    return Settings(
        corpus="web",
        warehouse=str(folder / "wh"),
        inputs=[{"path": str(folder / "in"), "source": "first"}],
        shard={"target_file_mb": 0.05},
        tiers={"cloud": {"url": place, "level": 9, "row_group_mb": 0.05}},
        tables=dict.fromkeys(TABLES, "cloud"),
        storage_options={"s3://bucket": s3_options},
        compress={"tables": TABLES},
        partitions={"documents": ["bucket(3, id)", "day(created)"]},
    )


@pytest.fixture(scope="module")
def context(settings):
    """A corpus that was moved to the object store, and then got new documents on the disk.

    Of its tables `documents` is partitioned.
    """
    context = sequential_context(settings, "first")
    for stage in (run_shard, run_dedup, run_compress):
        stage(context)
    more = json_lines(
        [f"Another text, number {n}: {uuid4().hex}" for n in range(NEW)], 900, date=1682944496
    )
    (Path(settings.inputs[0].path) / "part-9.jsonl").write_bytes(more)
    context = sequential_context(settings, "second")
    run_shard(context)
    run_dedup(context)
    return context


@pytest.fixture(params=TABLES)
def table(request):
    return request.param


@pytest.fixture
def files(context, table):
    return context.corpus.table(table).files()


@pytest.fixture
def expected(context, files):
    """The rows as a plain reader of Parquet has them, file by file."""
    parts = []
    for file in files:
        with context.store.open_input(file.location) as data:
            parts.append(pq.ParquetFile(data).read())
    return canonical(pa.concat_tables(parts))


def test_tables_lie_on_two_tiers_after_a_replace(context):
    documents = context.corpus.table("documents")

    assert {file.location.scheme for file in documents.files()} == {"file", "s3"}
    assert "replace" in [snapshot.operation for snapshot in documents.snapshots()]


def test_read_part_of_all_parts_same_rows(context, table, files, expected):
    columns = tuple(SCHEMAS[table].names)
    parts = [ReadPart(pieces, columns, ()) for pieces in pack(files, 1_000)]

    batches = [
        batch
        for part in parts
        for batch in read_part(context.store, pickle.loads(pickle.dumps(part)))
    ]

    assert len(parts) >= len(files)
    assert canonical(pa.Table.from_batches(batches)) == expected


@pytest.mark.parametrize("table", ["documents"], indirect=True)
def test_read_part_of_matching_files_has_all_matches(context, expected):
    every = expected["doc_id"].to_numpy()
    wanted = int(every[-NEW])
    predicate = Predicate("doc_id", Comparison.GREATER_EQUAL, (wanted,))
    table = context.corpus.table("documents")

    files = table.files(predicates=[predicate])
    (pieces,) = pack(files, 1 << 30)
    part = ReadPart(pieces, ("n_bytes", "doc_id"), (predicate,))
    found = pa.Table.from_batches(read_part(context.store, part))

    assert 0 < len(files) < len(table.files())
    assert found.schema.names == ["n_bytes", "doc_id"]
    assert sorted(found["doc_id"].to_pylist()) == every[-NEW:].tolist()


def test_pyiceberg_without_the_catalog_same_rows(context, table, expected, tmp_path):
    iceberg = context.corpus.table(table).iceberg()
    target = tmp_path / "rows.parquet"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PYICEBERG],
        input=pickle.dumps((iceberg.metadata_location, iceberg.io.properties, str(target))),
        capture_output=True,
        check=False,
    )

    assert b"written" in done.stdout, done.stderr.decode()
    assert canonical(pq.read_table(target)) == expected


def test_polars_iceberg_same_rows(context, table, expected):
    iceberg = context.corpus.table(table).iceberg()

    frame = polars.scan_iceberg(iceberg, reader_override="pyiceberg").collect()

    assert canonical(frame.to_arrow()) == expected


def test_polars_file_list_same_rows(table, files, expected, s3_options):
    options = {
        "aws_access_key_id": s3_options["key"],
        "aws_secret_access_key": "secret",
        "aws_endpoint_url": s3_options["endpoint_url"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    local = [file.location.path for file in files if file.location.scheme == "file"]
    remote = [file.url for file in files if file.location.scheme == "s3"]

    frames = [polars.scan_parquet(local)] if local else []
    frames += [polars.scan_parquet(remote, storage_options=options)] if remote else []
    frame = polars.concat(frames).collect()

    assert canonical(frame.to_arrow()) == expected


def test_duckdb_file_list_same_rows(table, files, expected, s3_options):
    options = s3_options | {"secret": "secret", "skip_instance_cache": True}
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("s3", **options))
        places = [str(f.location).removeprefix("file://") for f in files]
        found = connection.read_parquet(places, hive_partitioning=False).arrow()
        rows = found.read_all() if isinstance(found, pa.RecordBatchReader) else found

    assert canonical(rows) == expected


def test_storage_files_lists_what_the_engines_need(
    context, files, table, tmp_path, capsys, s3_options
):
    path = tmp_path / "web.toml"
    settings = context.settings
    path.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n[[inputs]]\npath = "none"\n'
        f'[tiers.cloud]\nurl = "{settings.tiers["cloud"].url}"\n'
        f'[storage_options]\n"s3://bucket" = {toml_value(s3_options)}\n'
    )

    code = main(["storage", "files", str(path), "--table", table, "--json"])
    told = json.loads(capsys.readouterr().out)

    assert code == 0
    assert told["files"] == [
        {
            "table": table,
            "tier": "cloud" if file.location.scheme == "s3" else "warehouse",
            "rows": file.rows,
            "bytes": file.n_bytes,
            "url": file.url,
        }
        for file in files
    ]
    assert told["rows"] == sum(file.rows for file in files)
