import os
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import InputError, InputMissingError, MachineError, TransientError
from strata.settings import TierSettings
from strata.storage.contracts.store import ByteRange
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import DOCUMENTS, FIELD_ID, TOKENS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import MeteredStore
from strata.storage.transfer.prefetch import coalesce
from strata.storage.writing.parquet import ParquetLayout, TableWriter, read_batches

LAYOUT = ParquetLayout("zstd", 3, row_group_bytes=20_000, target_file_bytes=1_000_000)


def documents(first, texts):
    n = len(texts)
    columns = [
        pa.array(range(first, first + n), pa.int64()),
        pa.array([f"id{first + i}" for i in range(n)]),
        pa.array(texts, pa.large_string()),
        pa.array(["web"] * n),
        pa.nulls(n, pa.string()),
        pa.nulls(n, pa.string()),
        pa.nulls(n, pa.large_string()),
        pa.array([len(text) for text in texts], pa.int64()),
        pa.array([bytes(16)] * n, pa.binary(16)),
        pa.nulls(n, pa.timestamp("us", "UTC")),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def noise(size):
    return os.urandom(size // 2).hex()


def write(store, folder, batches, layout=LAYOUT):
    writer = TableWriter(store, folder, "documents", layout, "run-1")
    for batch in batches:
        writer.write(batch)
    return writer.close()


def read(store, url, columns=("doc_id", "text"), row_groups=None, batch_bytes=10_000):
    return list(read_batches(store, Url.parse(url), columns, row_groups, batch_bytes))


def test_parquet_rows_survive_in_order_on_every_store(any_store, any_folder):
    written = write(
        any_store, any_folder / "data", [documents(i, ["ä" * 900] * 10) for i in (0, 10, 20)]
    )
    assert [file.rows for file in written] == [30]
    (file,) = written
    batches = read(any_store, file.url)
    assert pa.Table.from_batches(batches)["doc_id"].to_pylist() == list(range(30))
    assert batches[0].schema.field("text").type == pa.large_string()
    assert any_store.info(Url.parse(file.url)).size == file.n_bytes
    assert [info.url for info in any_store.find(any_folder)] == [Url.parse(file.url)]


def test_parquet_footer_travels_with_field_ids_codec_and_version(store, folder):
    (file,) = pickle.loads(pickle.dumps(write(store, folder, [documents(0, ["x"] * 5)])))
    assert file.metadata.num_rows == file.rows == 5
    assert file.metadata.metadata[b"strata.codec"] == b"zstd"
    assert file.metadata.metadata[b"strata.level"] == b"3"
    assert b"strata.version" in file.metadata.metadata
    assert Url.parse(file.url).name.startswith("run-1-0-")
    assert file.url.endswith(".zstd-3.parquet")
    on_disk = pq.read_schema(Url.parse(file.url).path)
    assert [on_disk.field(i).metadata[FIELD_ID] for i in range(10)] == [
        b"%d" % i for i in range(1, 11)
    ]


def test_parquet_description_of_a_file_is_small_for_the_driver(store, folder):
    # Row groups and columns of a file of the usual size.
    (file,) = write(store, folder, [documents(i, [noise(12_000)] * 2) for i in range(0, 16, 2)])
    assert file.metadata.num_row_groups >= 8
    assert len(pickle.dumps(file)) < 5_000


def test_parquet_small_columns_have_statistics_and_long_ones_no_dictionary(store, folder):
    (file,) = write(store, folder, [documents(7, ["x"] * 5)])
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(9)}
    assert columns["doc_id"].statistics.min == 7
    assert columns["doc_id"].statistics.max == 11
    assert not columns["text"].is_stats_set
    assert not columns["content_hash"].is_stats_set
    assert columns["source"].has_dictionary_page
    assert not columns["text"].has_dictionary_page
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_parquet_row_groups_follow_bytes_whatever_the_batches(store, folder):
    texts = [noise(1000) for _ in range(200)]
    (one,) = write(store, folder, [documents(0, texts)])
    (many,) = write(store, folder, [documents(i, texts[i : i + 1]) for i in range(200)])
    for file in (one, many):
        sizes = [
            file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)
        ]
        assert max(sizes) < 2.1 * LAYOUT.row_group_bytes
        assert len(sizes) >= 8


def test_parquet_files_end_near_the_target(store, folder):
    layout = ParquetLayout("none", None, row_group_bytes=20_000, target_file_bytes=100_000)
    written = write(
        store, folder, [documents(i, [noise(1000)] * 10) for i in range(0, 500, 10)], layout
    )
    assert sum(file.rows for file in written) == 500
    assert all(80_000 < file.n_bytes < 130_000 for file in written[:-1])
    assert len({file.url for file in written}) == len(written) > 3


def test_parquet_target_below_a_row_group_is_kept(store, folder):
    layout = ParquetLayout("none", None, row_group_bytes=32_000_000, target_file_bytes=50_000)
    written = write(store, folder, [documents(0, [noise(1000)] * 300)], layout)
    assert all(file.n_bytes < 110_000 for file in written)


def test_parquet_roll_starts_another_file(store, folder):
    writer = TableWriter(store, folder, "documents", LAYOUT, "s")
    writer.roll()
    writer.write(documents(0, ["a"]))
    writer.roll()
    writer.roll()
    writer.write(documents(1, ["b"]))
    assert [file.rows for file in writer.close()] == [1, 1]


def test_parquet_nothing_written_makes_no_file(store, folder):
    assert write(store, folder, []) == []
    assert write(store, folder, [documents(0, [])]) == []
    assert store.find(folder) == []


def test_parquet_abort_removes_finished_and_open_files(any_store, any_folder):
    writer = TableWriter(any_store, any_folder, "documents", LAYOUT, "s")
    writer.write(documents(0, [noise(30_000)]))
    writer.roll()
    writer.write(documents(1, [noise(30_000)] * 2))
    writer.discard()
    assert any_store.find(any_folder) == []
    assert writer.close() == []


def test_parquet_failed_block_aborts(store, folder):
    def fail():
        with TableWriter(store, folder, "documents", LAYOUT, "s") as writer:
            writer.write(documents(0, [noise(30_000)]))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert store.find(folder) == []


def test_parquet_forgotten_writer_leaves_no_readable_file(store, folder):
    writer = TableWriter(store, folder, "documents", LAYOUT, "s")
    writer.write(documents(0, [noise(30_000)]))
    del writer
    assert store.find(folder) == []


def test_parquet_wrong_columns_are_refused(store, folder):
    writer = TableWriter(store, folder, "documents", LAYOUT, "s")
    batch = documents(0, ["a"])
    with pytest.raises(ValueError, match="wrong columns"):
        writer.write(batch.select(batch.schema.names[:-1]))
    with pytest.raises(ValueError, match="wrong columns"):
        writer.write(batch.set_column(2, "text", pa.array(["a"])))


def test_parquet_null_in_a_required_column_is_refused(store, folder):
    batch = documents(0, ["a"])
    broken = batch.set_column(2, "text", pa.array([None], pa.large_string()))
    with (
        pytest.raises(ValueError, match="text"),
        TableWriter(store, folder, "documents", LAYOUT, "s") as writer,
    ):
        writer.write(broken)


def test_parquet_sliced_batches_keep_their_rows(store, folder):
    batch = documents(0, [f"text {i}" for i in range(100)])
    (file,) = write(store, folder, [batch.slice(50, 10), batch.slice(7, 3)])
    rows = pa.Table.from_batches(read(store, file.url))
    assert rows["doc_id"].to_pylist() == [*range(50, 60), 7, 8, 9]
    assert rows["text"][0].as_py() == "text 50"


def test_parquet_tokens_round_trip(store, folder):
    lists = pa.ListArray.from_arrays([0, 2, 2, 5], pa.array([1, 2, 3, 4, 5], pa.int32()))
    columns = [
        pa.array([1, 2, 3], pa.int64()),
        pa.array(["a"] * 3),
        pa.array([2, 0, 3], pa.int32()),
    ]
    batch = pa.RecordBatch.from_arrays(
        [*columns, lists.cast(TOKENS.field("tokens").type)], schema=TOKENS
    )
    with TableWriter(store, folder, "tokens", LAYOUT, "s") as writer:
        writer.write(batch)
    (file,) = writer.close()
    assert read(store, file.url, ["tokens"])[0].column(0).to_pylist() == [[1, 2], [], [3, 4, 5]]


def test_parquet_read_batches_are_bounded_in_bytes(store, folder):
    layout = ParquetLayout("zstd", 1, row_group_bytes=500_000, target_file_bytes=10_000_000)
    (file,) = write(store, folder, [documents(0, [noise(1000)] * 1000)], layout)
    batches = read(store, file.url, batch_bytes=50_000)
    assert max(batch.nbytes for batch in batches) < 75_000
    assert sum(batch.num_rows for batch in batches) == 1000


def test_parquet_read_takes_row_groups_and_column_order(store, folder):
    (file,) = write(store, folder, [documents(0, [noise(1000)] * 100)])
    last = file.metadata.num_row_groups - 1
    batches = read(store, file.url, ["text", "doc_id"], [last, 0], batch_bytes=1 << 20)
    assert batches[0].schema.names == ["text", "doc_id"]
    assert batches[0].column("doc_id")[-1].as_py() == 99
    assert batches[-1].column("doc_id")[0].as_py() == 0
    assert sum(batch.num_rows for batch in batches) < 100


def test_parquet_read_uses_few_large_requests(store, folder):
    layout = ParquetLayout("none", None, row_group_bytes=1_000_000, target_file_bytes=10_000_000)
    (file,) = write(store, folder, [documents(0, [noise(1000)] * 3000)], layout)
    metered = MeteredStore(store)
    read(metered, file.url, batch_bytes=10_000)
    assert metered.meter.read_requests <= 1 + file.metadata.num_row_groups
    assert metered.meter.bytes_read < 1.2 * file.n_bytes + 300_000


def test_parquet_missing_column_is_named(store, folder):
    (file,) = write(store, folder, [documents(0, ["a"])])
    with pytest.raises(InputError, match="nope"):
        read(store, file.url, ["doc_id", "nope"])


def test_parquet_missing_file_is_named(store, folder):
    with pytest.raises(InputMissingError, match="gone"):
        read(store, str(folder / "gone.parquet"))


@pytest.mark.parametrize("damage", [b"", b"no parquet at all", b"PAR1" * 10])
def test_parquet_other_bytes_are_told(store, folder, damage):
    store.write_bytes(folder / "x.parquet", damage)
    with pytest.raises(InputError, match=r"x\.parquet is not readable as Parquet"):
        read(store, str(folder / "x.parquet"))


def test_parquet_flipped_byte_in_a_page_is_told(store, folder):
    layout = ParquetLayout("none", None, row_group_bytes=100_000, target_file_bytes=10_000_000)
    (file,) = write(store, folder, [documents(0, [noise(1000)] * 50)], layout)
    data = bytearray(store.read_bytes(Url.parse(file.url)))
    data[len(data) // 2] ^= 1
    store.write_bytes(Url.parse(file.url), bytes(data))
    with pytest.raises(InputError, match="not readable as Parquet"):
        read(store, file.url)


def test_parquet_layout_of_a_tier_takes_its_own_target_first():
    tier = TierSettings(url="/x", codec="gzip", row_group_mb=1.5)
    assert ParquetLayout.of(tier, 64) == ParquetLayout("gzip", None, 1_500_000, 64_000_000)
    tier = TierSettings(url="/x", level=9, target_file_mb=0.5)
    assert ParquetLayout.of(tier, 64) == ParquetLayout("zstd", 9, 32_000_000, 500_000)


def test_parquet_ranges_coalesce_near_and_cut_long():
    mb = 1 << 20
    near = [ByteRange(10, 20), ByteRange(0, 5), ByteRange(30, 40)]
    assert coalesce(near) == [ByteRange(0, 40)]
    assert coalesce([ByteRange(0, 5), ByteRange(3 * mb, 3 * mb + 1)]) == [
        ByteRange(0, 5),
        ByteRange(3 * mb, 3 * mb + 1),
    ]
    parts = coalesce([ByteRange(0, 40 * mb)])
    assert [part.end - part.start for part in parts] == [16 * mb, 16 * mb, 8 * mb]


class Undeletable(FsspecStore):
    def delete(self, url):
        raise TransientError(f"{url} cannot be deleted")


def test_parquet_abort_that_cannot_delete_tells_why_the_block_failed(folder):
    def fail():
        with TableWriter(Undeletable(), folder, "documents", LAYOUT, "s") as writer:
            writer.write(documents(0, [noise(30_000)]))
            writer.roll()
            raise MachineError("disk full")

    with pytest.raises(MachineError, match="disk full"):
        fail()
