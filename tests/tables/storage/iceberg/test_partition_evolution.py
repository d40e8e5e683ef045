import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.expressions import (
    And,
    EqualTo,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    StartsWith,
)
from pyiceberg.transforms import VoidTransform

from strata.errors import ConflictError
from strata.partition_settings import partition_fields
from strata.storage.layout.partitioning import UNPARTITIONED
from strata.storage.layout.schemas import DOCUMENTS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.edit import FileEdit, edit_files
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.writing.partitioned_writer import table_writer
from tests.support.rows import ids_by_pyiceberg

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
BY_SOURCE = partition_fields("documents", ("source",))
BY_LANG = partition_fields("documents", ("lang", "bucket(4, id)"))
BY_ALL = partition_fields(
    "documents", ("source", "lang", "bucket(3, id)", "truncate(5, url)", "truncate(100, doc_id)")
)
BY_TIMES = tuple(
    partition_fields("documents", ("lang", f"{part}(created)"))
    for part in ("year", "month", "day", "hour")
)
SOME_DAY = datetime(1969, 12, 31, 23, tzinfo=UTC)
FILTERS = (
    (EqualTo("created", SOME_DAY), lambda row: row["created"] == SOME_DAY),
    (IsNull("created"), lambda row: row["created"] is None),
    (
        GreaterThanOrEqual("created", SOME_DAY),
        lambda row: row["created"] is not None and row["created"] >= SOME_DAY,
    ),
    (
        LessThan("created", SOME_DAY),
        lambda row: row["created"] is not None and row["created"] < SOME_DAY,
    ),
    (EqualTo("source", "s1"), lambda row: row["source"] == "s1"),
    (EqualTo("lang", "en"), lambda row: row["lang"] == "en"),
    (IsNull("lang"), lambda row: row["lang"] is None),
    (EqualTo("id", "d17"), lambda row: row["id"] == "d17"),
    (In("doc_id", {3, 150, 299}), lambda row: row["doc_id"] in (3, 150, 299)),
    (StartsWith("url", "http-3"), lambda row: (row["url"] or "").startswith("http-3")),
    (
        And(EqualTo("source", "s0"), EqualTo("lang", "de")),
        lambda row: (row["source"], row["lang"]) == ("s0", "de"),
    ),
)


@pytest.fixture
def corpus(settings):
    with open_corpus(settings) as corpus:
        yield corpus


@pytest.fixture
def table(corpus):
    return corpus.table("documents")


def documents(start, stop):
    choose = random.Random(start)
    rows = [
        {
            "doc_id": n,
            "id": f"d{n}",
            "text": "text",
            "source": f"s{choose.randrange(3)}",
            "lang": choose.choice(["de", "en", None]),
            "url": choose.choice([None, f"http-{choose.randrange(5)}-{n}"]),
            "metadata": None,
            "n_bytes": 4,
            "content_hash": b"h" * 16,
            "created": choose.choice(
                [None, SOME_DAY + timedelta(hours=11 * choose.randrange(-9, 9))]
            ),
        }
        for n in range(start, stop)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


@pytest.fixture
def write(store, folder):
    def write(batch, fields, place="data"):
        layout = replace(LAYOUT, partition_by=fields)
        with table_writer(store, folder / place, "documents", layout, "t") as writer:
            writer.write(batch)
        return writer.close()

    return write


@pytest.fixture
def rewrite(store, folder):
    def rewrite(file, layout=LAYOUT):
        place = (store, folder / "moved", "documents", layout, "m", None, file.partition)
        with TableWriter(*place) as writer:
            for batch in read_batches(store, file.location, DOCUMENTS.names, None, 1_000_000):
                writer.write(batch)
        return tuple(writer.close())

    return rewrite


def append(table, files, key):
    publish(table, files, mode=PublishMode.APPEND, content_key=key, run_id="r")


def assert_filters_right(table, *batches):
    rows = [row for batch in batches for row in batch.to_pylist()]
    for condition, holds in FILTERS:
        assert ids_by_pyiceberg(table, where=condition) == [
            row["doc_id"] for row in rows if holds(row)
        ], condition


@pytest.mark.parametrize("fields", [(), BY_SOURCE, BY_LANG, BY_ALL, *BY_TIMES])
def test_filtered_reads_equal_those_of_plain_rows(table, write, fields):
    batch = documents(0, 300)
    append(table, write(batch, fields), "a")
    assert_filters_right(table, batch)
    assert [str(field) for field in table.files()[0].partition.fields] == [str(f) for f in fields]


def test_partitions_prune_files(table, write):
    append(table, write(documents(0, 300), BY_ALL), "a")
    planned = list(table.iceberg().scan(row_filter=EqualTo("id", "d17")).plan_files())
    assert 0 < len(planned) < len(table.files()) / 2
    buckets = {task.file.partition[2] for task in planned}
    assert len(buckets) == 1


@pytest.mark.parametrize("fields", BY_TIMES)
def test_parts_of_the_calendar_prune_files(table, write, fields):
    append(table, write(documents(0, 300), fields), "a")
    later = SOME_DAY.replace(year=2023)
    assert not list(
        table.iceberg().scan(row_filter=GreaterThanOrEqual("created", later)).plan_files()
    )
    planned = list(table.iceberg().scan(row_filter=EqualTo("created", SOME_DAY)).plan_files())
    assert 0 < len(planned) < len(table.files())
    assert {file.partition.fields for file in table.files()} == {fields}


def test_spec_comes_with_the_table_and_changes_with_the_files(table, write):
    append(table, write(documents(0, 30), BY_SOURCE), "a")
    assert [f.field_id for f in table.iceberg().spec().fields] == [1000]
    append(table, write(documents(30, 60), BY_LANG), "b")
    append(table, write(documents(60, 90), BY_SOURCE), "c")
    append(table, write(documents(90, 99), ()), "d")
    specs = table.iceberg().metadata.specs()
    assert [[field.name for field in spec.fields] for spec in specs.values()] == [
        ["source"],
        ["lang", "id_bucket_4"],
        [],
    ]
    assert {f.field_id for spec in specs.values() for f in spec.fields} == {1000, 1001, 1002}
    assert table.iceberg().metadata.default_spec_id == 2
    assert {file.partition.fields for file in table.files()} == {BY_SOURCE, BY_LANG, ()}
    assert_filters_right(
        table, documents(0, 30), documents(30, 60), documents(60, 90), documents(90, 99)
    )


def test_field_of_a_former_spec_keeps_its_number(table, write):
    append(table, write(documents(0, 30), BY_SOURCE), "a")
    both = partition_fields("documents", ("lang", "source"))
    append(table, write(documents(30, 60), both), "b")
    numbers = {field.name: field.field_id for field in table.iceberg().spec().fields}
    assert numbers == {"lang": 1001, "source": 1000}


def test_file_of_an_older_spec_keeps_its_meaning_when_it_is_rewritten(table, write, rewrite):
    # PyIceberg's own overwrite puts it under the present spec: its rows vanish from such reads.
    rows = [documents(0, 120), documents(120, 300)]
    append(table, write(rows[0], BY_SOURCE), "a")
    append(table, write(rows[1], BY_LANG), "b")
    old = [file for file in table.files() if file.partition.fields == BY_SOURCE]
    replacements = [
        Replacement((file.url,), rewrite(file, replace(LAYOUT, level=3))) for file in old
    ]
    replace_files(table, replacements, run_id="move")
    moved = [file for file in table.files() if "/moved/" in file.url]
    assert {file.partition for file in moved} == {file.partition for file in old}
    assert_filters_right(table, *rows)


def test_both_specs_are_rewritten_in_one_commit(table, write, rewrite):
    rows = [documents(0, 120), documents(120, 300)]
    append(table, write(rows[0], BY_SOURCE), "a")
    append(table, write(rows[1], BY_LANG), "b")
    append(table, write(documents(300, 330), ()), "c")
    replacements = [Replacement((file.url,), rewrite(file)) for file in table.files()]
    replace_files(table, replacements, run_id="move")
    assert all("/moved/" in file.url for file in table.files())
    snapshot = table.snapshots()[-1]
    assert snapshot.operation == "replace"
    assert snapshot.properties["total-records"] == "330"
    assert_filters_right(table, *rows, documents(300, 330))


def test_rows_move_from_one_spec_to_another(table, write):
    batch = documents(0, 300)
    append(table, write(batch, BY_SOURCE), "a")
    old = tuple(file.url for file in table.files())
    replace_files(table, [Replacement(old, tuple(write(batch, BY_LANG, "new")))], run_id="r")
    assert {file.partition.fields for file in table.files()} == {BY_LANG}
    assert table.content_key == "a"
    assert_filters_right(table, batch)


def test_edit_and_overwrite_keep_each_file_under_its_spec(table, write, rewrite):
    rows = [documents(0, 120), documents(120, 300)]
    append(table, write(rows[0], BY_SOURCE), "a")
    append(table, write(rows[1], BY_LANG), "b")
    old = next(file for file in table.files() if file.partition.fields == BY_SOURCE)
    edit = FileEdit((old.url,), rewrite(old), removed=0, added=0)
    edit_files(table, [edit], onto="b", content_key="c", run_id="r", extra={})
    assert_filters_right(table, *rows)
    fresh = documents(0, 90)
    publish(
        table,
        write(fresh.slice(0, 40), BY_SOURCE, "over") + write(fresh.slice(40), BY_LANG, "over"),
        mode=PublishMode.OVERWRITE,
        content_key="d",
        run_id="r",
    )
    assert_filters_right(table, fresh)
    assert table.snapshots()[-1].properties["total-records"] == "90"


def test_replace_of_a_partition_beside_others_touches_only_its_files(table, write, rewrite):
    batch = documents(0, 300)
    append(table, write(batch, BY_ALL), "a")
    before = {file.url for file in table.files()}
    chosen = next(file for file in table.files() if file.partition["lang"] is None)
    replace_files(
        table,
        [Replacement((chosen.url,), rewrite(chosen))],
        run_id="r",
    )
    after = {file.url for file in table.files()}
    assert before - after == {chosen.url}
    assert_filters_right(table, batch)


def test_partition_of_another_writer_that_is_not_known_is_told(table, write):
    append(table, write(documents(0, 9), ()), "a")
    with table.iceberg().update_spec() as update:
        update.add_field("lang", VoidTransform(), "nothing")
    with pytest.raises(ConflictError, match="by nothing"):
        table.files()


def test_unpartitioned_files_have_no_values(table, write):
    append(table, write(documents(0, 9), ()), "a")
    (file,) = table.files()
    assert file.partition == UNPARTITIONED
    assert not file.partition
