import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.partition_settings import partition_fields
from strata.storage.layout.partitioning import partition_rows
from strata.storage.layout.schemas import DOCUMENTS, TOKENS
from strata.storage.writing.parquet import ParquetLayout
from strata.storage.writing.partitioned_writer import PartitionedWriter, table_writer

FIELDS = partition_fields("documents", ("source", "lang"))
LAYOUT = ParquetLayout(
    "zstd",
    1,
    row_group_bytes=1_000_000,
    target_file_bytes=1_000_000,
    partition_by=FIELDS,
    open_files=3,
    pending_bytes=40_000,
)


def documents(number, sources=4, first=0):
    choose = random.Random(first)
    rows = [
        {
            "doc_id": first + index,
            "id": f"d{first + index}",
            "text": "x" * choose.randrange(400),
            "source": f"s{choose.randrange(sources)}",
            "lang": choose.choice(["de", "en", None]),
            "url": None,
            "metadata": None,
            "n_bytes": index,
            "content_hash": b"h" * 16,
        }
        for index in range(number)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


def read(folder, files):
    return [
        (file, pq.read_table(file.url.removeprefix("file://"), partitioning=None)) for file in files
    ]


def test_rows_go_to_files_of_their_partition_in_their_order(store, folder):
    batch = documents(3_000)
    with table_writer(store, folder, "documents", LAYOUT, "s") as writer:
        for start in range(0, 3_000, 250):
            writer.write(batch.slice(start, 250))
        files = writer.close()
    seen = []
    for file, table in read(folder, files):
        assert file.url.startswith(f"{folder}/{file.partition.folder}/s-")
        assert file.rows == table.num_rows
        owned = partition_rows(table.combine_chunks().to_batches()[0], FIELDS)
        assert owned.partitions == (file.partition,)
        assert table["doc_id"].to_pylist() == sorted(table["doc_id"].to_pylist())
        seen.append(table)
    assert pa.concat_tables(seen).sort_by("doc_id").equals(pa.Table.from_batches([batch]))


def handles_below(folder):
    """Open files of this process below a folder."""
    links = []
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(handle.readlink()))
    return sum(link.startswith(folder.path) for link in links)


@pytest.mark.parametrize("sources", [1, 4, 500])
def test_memory_and_open_files_stay_bounded_whatever_the_cardinality(store, folder, sources):
    most_open = most_pending = most_handles = 0
    writer = table_writer(store, folder, "documents", LAYOUT, "s")
    with writer:
        for start in range(0, 4_000, 200):
            batch = documents(200, sources, start)
            writer.write(batch)
            most_open = max(most_open, writer.open_files)
            most_pending = max(most_pending, writer.pending_bytes)
            most_handles = max(most_handles, handles_below(folder))
        files = writer.close()
    assert 0 < most_open <= LAYOUT.open_files
    assert 0 < most_handles <= LAYOUT.open_files
    assert most_pending <= LAYOUT.pending_bytes
    assert sum(file.rows for file in files) == 4_000
    assert writer.open_files == writer.pending_bytes == 0


def test_larger_rows_of_small_partitions_are_written_too(store, folder):
    layout = replace(LAYOUT, pending_bytes=10_000)
    row = documents(1).to_pylist()[0]
    rows = [row | {"doc_id": 0, "source": "long", "text": "y" * 9_000}]
    rows += [row | {"doc_id": number, "source": "short"} for number in range(1, 200)]
    writer = table_writer(store, folder, "documents", layout, "s")
    for each in rows:
        writer.write(pa.RecordBatch.from_pylist([each], schema=DOCUMENTS))
        assert writer.pending_bytes <= layout.pending_bytes
    assert sum(file.rows for file in writer.close()) == 200


def test_many_rows_of_one_partition_fill_files_of_the_target_size(store, folder):
    layout = replace(LAYOUT, target_file_bytes=30_000, pending_bytes=20_000)
    choose = random.Random(1)
    row = documents(1).to_pylist()[0] | {"source": "s", "lang": "de"}
    rows = [row | {"doc_id": n, "text": choose.randbytes(300).hex()} for n in range(1_000)]
    with table_writer(store, folder, "documents", layout, "s") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS))
        files = writer.close()
    assert len(files) > 5
    assert all(15_000 < file.n_bytes < 60_000 for file in files[:-1])


def test_roll_ends_every_file(store, folder):
    with table_writer(store, folder, "documents", LAYOUT, "s") as writer:
        writer.write(documents(50))
        writer.roll()
        writer.write(documents(50, first=50))
        files = writer.close()
    for _, table in read(folder, files):
        assert len({doc_id < 50 for doc_id in table["doc_id"].to_pylist()}) == 1


def test_failure_leaves_no_file(store, folder):
    def fail():
        with table_writer(store, folder, "documents", LAYOUT, "s") as writer:
            for start in range(0, 2_000, 100):
                writer.write(documents(100, 30, start))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.find(folder) == []


def test_wrong_columns_are_refused(store, folder):
    writer = table_writer(store, folder, "documents", LAYOUT, "s")
    with pytest.raises(ValueError, match="wrong columns"):
        writer.write(documents(3).drop_columns(["lang"]))


def test_lists_of_tokens_are_partitioned_too(store, folder):
    layout = replace(LAYOUT, partition_by=partition_fields("tokens", ("bucket(4, doc_id)",)))
    rows = [
        {"doc_id": n, "source": "a", "n_tokens": n % 9, "tokens": list(range(n % 9))}
        for n in range(3_000)
    ]
    with table_writer(store, folder, "tokens", layout, "s") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=TOKENS))
        files = writer.close()
    tables = pa.concat_tables([table for _, table in read(folder, files)]).sort_by("doc_id")
    assert tables.to_pylist() == rows
    assert {file.partition["doc_id_bucket_4"] for file in files} == {0, 1, 2, 3}


def test_without_fields_the_plain_writer_writes(store, folder):
    writer = table_writer(store, folder, "documents", LAYOUT.unpartitioned, "s")
    assert not isinstance(writer, PartitionedWriter)
