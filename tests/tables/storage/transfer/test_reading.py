import io
import os
import random
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from strata.errors import TransientError
from strata.storage.contracts.faults import BrokenReadError
from strata.storage.contracts.store import ByteRange, FileInfo
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import DOCUMENTS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import MeteredStore
from strata.storage.transfer.reading import RangedInput, RangePlan
from strata.storage.transfer.store import TransferStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter

POLICY = TransferPolicy(part_bytes=1000, window=3, attempts=3, first_pause=0.0)


@dataclass(frozen=True, slots=True)
class Recording(FsspecStore):
    """A store in memory that notes which ranges were read, and fails when told to."""

    spans: list[ByteRange] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    def read_ranges(self, url, ranges):
        self.spans.extend(ranges)
        if self.faults:
            raise self.faults.pop()
        return FsspecStore.read_ranges(self, url, ranges)


@pytest.fixture
def url(request):
    return Url.parse(f"memory://reads/{request.node.name}")


def lines(size):
    letters = random.Random(size).choices(b"abc\n", k=size)
    return bytes(letters)


@pytest.mark.parametrize("plan", [RangePlan(16), RangePlan(16, 2, 2), RangePlan(1000, 4, 1)])
def test_transfer_input_reads_as_a_file_in_memory_does(url, plan):
    data = lines(333)
    store = FsspecStore()
    store.write_bytes(url, data)
    draw = random.Random(7)
    with RangedInput(store, store.info(url), plan) as file:
        oracle = io.BytesIO(data)
        for _ in range(400):
            match draw.randrange(5):
                case 0:
                    size = draw.choice([0, 1, 15, 16, 17, 50, 400, -1])
                    assert file.read(size) == oracle.read(size)
                case 1:
                    assert file.readline() == oracle.readline()
                case 2:
                    size = draw.randrange(20)
                    assert file.readline(size) == oracle.readline(size)
                case 3:
                    offset, whence = draw.randrange(400), draw.choice([0, 2])
                    offset = -min(offset, 333) if whence == 2 else offset
                    assert file.seek(offset, whence) == oracle.seek(offset, whence)
                case 4:
                    mine, theirs = bytearray(40), bytearray(40)
                    assert file.readinto(mine) == oracle.readinto(theirs)
                    assert mine == theirs
            assert file.tell() == oracle.tell()


def test_transfer_sequential_reader_has_a_bounded_number_of_parts_ahead(url):
    store = Recording()
    store.write_bytes(url, bytes(10_000))
    with RangedInput(store, FileInfo(url, 10_000, ""), RangePlan(1000, 2, 1)) as file:
        file.read(1)
        assert sorted(store.spans)[-1].end <= 3000
        file.read()
    assert sorted(store.spans) == [ByteRange(at, at + 1000) for at in range(0, 10_000, 1000)]


def test_transfer_reader_that_jumps_fetches_nothing_ahead(url):
    store = Recording()
    store.write_bytes(url, bytes(10_000))
    with RangedInput(store, FileInfo(url, 10_000, ""), RangePlan(1000, 2, 1)) as file:
        file.seek(-10, os.SEEK_END)
        file.read()
        file.seek(4_500)
        file.read(10)
    assert store.spans == [ByteRange(9000, 10_000), ByteRange(4000, 5000)]


def test_transfer_broken_read_asks_for_the_rest_alone(url):
    broken = BrokenReadError("reset")
    broken.data = bytes(range(40))
    store = Recording(faults=[broken])
    store.write_bytes(url, bytes(range(200)))
    found = TransferStore(store, POLICY).read_ranges(url, [ByteRange(0, 200)])
    assert found == [bytes(range(200))]
    assert store.spans == [ByteRange(0, 200), ByteRange(40, 200)]


def test_transfer_ranges_that_fail_are_told_after_the_last_attempt(url):
    store = Recording(faults=[TransientError("busy")] * 9)
    store.write_bytes(url, bytes(200))
    with pytest.raises(TransientError, match="attempt 3"):
        TransferStore(store, POLICY).read_ranges(url, [ByteRange(0, 100), ByteRange(100, 200)])


def test_transfer_local_files_are_opened_as_they_are(store, folder):
    store.write_bytes(folder / "x", b"1")
    with TransferStore(store).open_input(folder / "x") as file:
        assert isinstance(file, io.BufferedReader)


def table_of(store, folder, row_group_bytes):
    layout = ParquetLayout("none", None, row_group_bytes, target_file_bytes=1 << 30)
    with TableWriter(store, folder, "documents", layout, "t") as writer:
        for first in range(0, 4000, 50):
            rows = [
                {
                    "doc_id": first + i,
                    "id": str(first + i),
                    "text": os.urandom(2000).hex(),
                    "source": "web",
                    "n_bytes": 4000,
                    "content_hash": bytes(16),
                }
                for i in range(50)
            ]
            writer.write(pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS))
    (file,) = writer.close()
    return file


@pytest.mark.parametrize("row_group_bytes", [500_000, 6_000_000, 40_000_000])
def test_transfer_scan_of_a_remote_table_takes_few_requests(url, row_group_bytes):
    file = table_of(FsspecStore(), url, row_group_bytes)
    metered = MeteredStore(TransferStore(FsspecStore()))
    batches = read_batches(metered, Url.parse(file.url), DOCUMENTS.names, None, 1 << 20)
    ids = [i for batch in batches for i in batch["doc_id"].to_pylist()]
    assert ids == list(range(4000))
    megabytes = file.n_bytes / 1e6
    assert megabytes > 15
    assert metered.meter.read_requests <= 0.3 * megabytes
    assert metered.meter.bytes_read <= file.n_bytes + 300_000
