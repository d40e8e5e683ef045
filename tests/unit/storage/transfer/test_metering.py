import pytest

from strata.storage.contracts.store import ByteRange
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import IoMeter, MeteredStore


@pytest.fixture
def metered():
    return MeteredStore(FsspecStore())


@pytest.fixture
def file(metered, folder):
    FsspecStore().write_bytes(folder / "x", b"first\nsecond\nlast")
    return folder / "x"


def test_metering_counts_every_way_of_reading(metered, file):
    with metered.open_input(file) as source:
        source.read(5)
        source.readinto(bytearray(1))
        source.readline()
        source.read()
    assert metered.meter.bytes_read == 17
    metered.read_ranges(file, [ByteRange(0, 2), ByteRange(3, 4)])
    assert metered.meter.bytes_read == 20


def test_metering_counts_bytes_not_what_was_asked_for(metered, file):
    with metered.open_input(file) as source:
        source.seek(-4, 2)
        assert source.read(100) == b"last"
        assert source.read(100) == b""
    assert metered.meter.bytes_read == 4


def test_metering_times_reads_and_writes(metered, file, folder):
    with metered.open_input(file) as source, metered.create(folder / "y") as sink:
        sink.write(source.read())
    first = metered.meter.read_seconds
    metered.read_ranges(file, [ByteRange(0, 2)])
    metered.read_tail(file, 2)
    assert 0 < first < metered.meter.read_seconds < 60
    assert 0 < metered.meter.write_seconds < 60


def test_metering_counts_writes_and_keeps_discarding(metered, folder):
    with metered.create(folder / "y") as sink:
        sink.write(b"12")
        sink.write(memoryview(b"345"))
        assert sink.tell() == 5
    sink = metered.create(folder / "z")
    sink.write(b"6")
    sink.discard()
    assert metered.meter == IoMeter(bytes_written=6, write_requests=3)
    assert [info.url.name for info in metered.find(folder)] == ["y"]


def test_metering_forgotten_output_never_appears(metered, folder):
    sink = metered.create(folder / "z")
    sink.write(b"6")
    del sink
    assert metered.find(folder) == []


def test_metering_listing_and_deleting_cost_no_bytes(metered, file):
    metered.info(file)
    metered.find(file.parent)
    metered.delete(file)
    assert metered.meter == IoMeter()


def test_metering_meters_add_up():
    assert sum([IoMeter(1, 2, 3, 4), IoMeter(10, 20, 30, 40)], IoMeter()) == IoMeter(11, 22, 33, 44)
