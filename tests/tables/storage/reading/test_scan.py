import os
import tracemalloc
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import InputError, MachineError, TransientError
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import DOCUMENTS
from strata.storage.reading import scan as scan_module
from strata.storage.reading.scan import group_bounds, open_parquet, read_batches
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=32_000_000, target_file_bytes=128_000_000)
MB = 1_000_000


def documents(first, texts):
    rows = [
        {
            "doc_id": first + i,
            "id": str(i),
            "text": text,
            "source": "web",
            "n_bytes": len(text),
            "content_hash": bytes(16),
        }
        for i, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


def write(store, folder, batches, layout=LAYOUT):
    with TableWriter(store, folder, "documents", layout, "t") as writer:
        for batch in batches:
            writer.write(batch)
    return [Url.parse(file.url) for file in writer.close()]


@pytest.fixture
def file(store, folder):
    (url,) = write(store, folder, [documents(0, [os.urandom(500).hex() for _ in range(50)])])
    return url


def read(store, url, columns=("doc_id", "text"), batch_bytes=MB):
    return list(read_batches(store, url, columns, None, batch_bytes))


def test_scan_document_of_50_mb_comes_alone_and_whole(store, folder):
    huge = "ab" * (25 * MB)
    batches = [documents(0, ["a"] * 3), documents(3, ["b", huge, "c"]), documents(6, ["d"])]
    (url,) = write(store, folder, batches)
    found = read(store, url, batch_bytes=16 * MB)
    assert [i for batch in found for i in batch["doc_id"].to_pylist()] == list(range(7))
    largest = max(found, key=lambda batch: batch.nbytes)
    assert huge in largest["text"].to_pylist()
    assert largest.nbytes < 51 * MB
    assert all(batch.nbytes < MB for batch in found if batch is not largest)


def test_scan_document_of_50_mb_is_held_once(store, folder):
    (url,) = write(store, folder, [documents(0, ["a" * 50 * MB])])
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    for batch in read_batches(store, url, ["text"], None, 16 * MB):
        held = pa.total_allocated_bytes() - before
        assert batch.nbytes >= 50 * MB
    _, python_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 210 * MB
    assert python_peak < 20 * MB


def test_scan_row_group_larger_than_the_prefetch_streams(store, folder, monkeypatch):
    monkeypatch.setattr(scan_module, "PREFETCH", 10_000)
    plain = ParquetLayout("none", None, row_group_bytes=2 * MB, target_file_bytes=100 * MB)
    texts = [os.urandom(500).hex() for _ in range(1500)]
    (url,) = write(store, folder, [documents(0, texts)], plain)
    metered = MeteredStore(store)
    found = read(metered, url, batch_bytes=100_000)
    assert [text for batch in found for text in batch["text"].to_pylist()] == texts
    assert metered.meter.bytes_read < 1.5 * store.info(url).size + 300_000


def test_scan_every_truncation_is_told(store, file):
    data = store.read_bytes(file)
    for end in range(0, len(data), len(data) // 25):
        store.write_bytes(file, data[:end])
        with pytest.raises(InputError, match=file.name):
            read(store, file)


def test_scan_of_a_column_ignores_damage_in_others(store, file):
    text = pq.ParquetFile(file.path).metadata.row_group(0).column(2)
    data = bytearray(store.read_bytes(file))
    data[text.data_page_offset + text.total_compressed_size // 2] ^= 1
    store.write_bytes(file, bytes(data))
    assert sum(batch.num_rows for batch in read(store, file, ["doc_id"])) == 50
    with pytest.raises(InputError, match="not readable as Parquet"):
        read(store, file, ["text"])


@dataclass(frozen=True, slots=True)
class Failing(FsspecStore):
    """A store whose reads fail with an error, once the footer is read."""

    error: Exception | None = None
    done: list[int] = field(default_factory=list)

    def read_ranges(self, url, ranges):
        if self.done:
            raise self.error
        self.done.append(1)
        return FsspecStore.read_ranges(self, url, ranges)

    def open_input(self, url):
        assert url
        raise self.error


@pytest.mark.parametrize("prefetch", [0, 1 << 30])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransientError("busy"), TransientError),
        (ConnectionResetError(104, "reset by peer"), TransientError),
        (PermissionError(13, "no"), MachineError),
    ],
)
def test_scan_failing_store_is_not_taken_for_damage(
    store, folder, monkeypatch, error, kind, prefetch
):
    (url,) = write(store, folder, [documents(0, [os.urandom(2000).hex() for _ in range(200)])])
    monkeypatch.setattr(scan_module, "PREFETCH", prefetch)
    with pytest.raises(kind):
        read(Failing(error=error), url)


def test_scan_metadata_is_read_without_the_data(store, file):
    metered = MeteredStore(store)
    with open_parquet(metered, file) as scan:
        assert scan.metadata.num_rows == 50
    assert metered.meter.read_requests == 1


def test_scan_file_of_another_writer_without_our_types(store, folder):
    table = pa.table({"text": ["a", None], "n": [1, 2]})
    pq.write_table(table, (folder / "x.parquet").path)
    (batch,) = read(store, folder / "x.parquet", ["n", "text"])
    assert batch.to_pydict() == {"n": [1, 2], "text": ["a", None]}


def test_scan_empty_table_gives_no_rows(store, folder):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), (folder / "x.parquet").path)
    assert sum(batch.num_rows for batch in read(store, folder / "x.parquet", ["text"])) == 0


def test_group_bounds_are_smallest_and_largest_of_each_row_group(store, folder):
    layout = ParquetLayout("zstd", 1, row_group_bytes=2_000, target_file_bytes=128_000_000)
    (url,) = write(store, folder, [documents(n * 100, ["x" * 50] * 60) for n in range(3)], layout)

    with open_parquet(store, url) as scan:
        bounds = group_bounds(scan.metadata, "doc_id")
        expected = [
            [column.to_numpy().min(), column.to_numpy().max()]
            for column in (
                scan.parquet.read_row_group(group, ["doc_id"])["doc_id"]
                for group in range(scan.metadata.num_row_groups)
            )
        ]

    assert len(expected) > 3
    assert bounds.tolist() == expected


def test_group_bounds_without_statistics_leave_all_possible(store, folder):
    url = folder / "plain.parquet"
    with store.create(url) as sink:
        pq.write_table(pa.table({"doc_id": [5, 6]}), sink, write_statistics=False)

    with open_parquet(store, url) as scan:
        assert group_bounds(scan.metadata, "doc_id").tolist() == [[-(2**63), 2**63 - 1]]
