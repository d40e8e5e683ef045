import os
import socket
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import ConflictError, InputMissingError, MachineError, TransientError
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import ByteRange
from strata.storage.contracts.tier_hints import TierHints
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores import endpoints
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from tests.support.faults.faulty_s3 import Fault, faulty_s3

MB = 1 << 20
POLICY = TransferPolicy(part_bytes=5 * MB, window=3, attempts=4, first_pause=0.0)
DATA = os.urandom(17 * MB + 5)


@pytest.fixture(scope="module")
def running():
    with faulty_s3() as server:
        yield server


@pytest.fixture
def server(running):
    running.fault = None
    running.requests.clear()
    endpoints._resting.clear()
    return running


@pytest.fixture
def url(request):
    return Url.parse(f"s3://bucket/{request.node.name.replace('[', '-').strip(']')}/x")


def store_of(server, **hints):
    options = StorageOptions(
        {"s3://bucket": server.options()}, {"s3://bucket": TierHints(**hints)}, POLICY
    )
    return MeteredStore(open_store(options))


def fail_once(server, fault, matches):
    """The first request that matches fails; the others do not."""
    hit = []

    def decide(request):
        if not hit and matches(request):
            hit.append(request)
            return fault
        return None

    server.fault = decide
    return hit


def methods(server):
    return Counter(request.method for request in server.requests)


def uploads(server, url):
    """Unfinished uploads of one file."""
    with server.client() as client:
        found = client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    return [each for each in found if f"s3://bucket/{each['Key']}" == str(url)]


def test_transfer_large_file_goes_in_parts_and_comes_back(server, url):
    store = store_of(server)
    with store.create(url) as output:
        for at in range(0, len(DATA), 3_000_001):
            output.write(DATA[at : at + 3_000_001])
    parts = [request.query for request in server.requests if "partNumber" in request.query]
    assert len(parts) == 4
    assert store.read_bytes(url) == DATA
    assert store.info(url).size == len(DATA)


def test_transfer_small_file_is_one_request(server, url):
    store = store_of(server)
    store.write_bytes(url, b"x" * 1000)
    assert methods(server) == {"PUT": 1}
    assert store.meter.write_requests == 1


def test_transfer_meter_counts_what_the_server_counts(server, url):
    store = store_of(server)
    store.write_bytes(url, DATA)
    store.read_bytes(url)
    store.info(url)
    store.find(url.parent)
    store.delete(url)
    seen = methods(server)
    assert store.meter.read_requests == seen["GET"] + seen["HEAD"]
    assert store.meter.write_requests == seen["PUT"] + seen["POST"] + seen["DELETE"]


def test_transfer_every_third_request_refused_loses_nothing(server, url):
    store = store_of(server)
    server.fault = lambda _: Fault.SLOW_DOWN if len(server.requests) % 3 == 0 else None
    store.write_bytes(url, DATA)
    with store.open_input(url) as file:
        assert b"".join(iter(lambda: file.read(MB), b"")) == DATA
    assert store.meter.retries >= 3
    # Every refused request was sent again by this layer alone, and so is counted once.
    total = store.meter.read_requests + store.meter.write_requests
    assert total == len(server.requests)


def test_transfer_endless_refusal_ends_as_transient(server, url):
    server.fault = lambda _: Fault.SLOW_DOWN
    store = store_of(server)
    with pytest.raises(TransientError, match=r"s3://bucket.*attempt 4"):
        store.info(url)
    assert len(server.requests) == POLICY.attempts


def test_transfer_missing_and_forbidden_are_never_sent_again(server, url):
    store = store_of(server)
    with pytest.raises(InputMissingError):
        store.read_ranges(url, [ByteRange(0, 10)])
    assert len(server.requests) == 1
    missing = Url.parse("s3://no-such-bucket/x")
    options = StorageOptions({"s3://no-such-bucket": server.options()}, transfer=POLICY)
    with pytest.raises((InputMissingError, MachineError)):
        open_store(options).write_bytes(missing, b"1")
    assert len(server.requests) == 2


def test_transfer_small_table_file_is_read_with_one_request(server, url):
    store = store_of(server)
    table = pa.table({"doc_id": pa.array(range(2000))})
    with store.create(url) as output:
        pq.write_table(table, output, row_group_size=500)
    server.requests.clear()
    batches = list(read_batches(store, url, ["doc_id"], None, MB))
    assert pa.Table.from_batches(batches) == table
    assert methods(server) == {"GET": 1}


def test_transfer_torn_tail_is_asked_for_again(server, url):
    store = store_of(server)
    store.write_bytes(url, DATA)
    server.requests.clear()
    fail_once(server, Fault.TORN_BODY, lambda request: request.method == "GET")
    info, tail = store.read_tail(url, MB)
    assert (info.size, tail) == (len(DATA), DATA[-MB:])
    assert methods(server) == {"GET": 2}


@pytest.mark.parametrize("lack", [Fault.NO_FACTS, Fault.NO_RANGES])
def test_transfer_tail_of_a_server_that_can_little_is_read(server, url, lack):
    store = store_of(server)
    store.write_bytes(url, DATA)
    server.fault = lambda _: lack
    info, tail = store.read_tail(url, MB)
    has_facts = lack is not Fault.NO_FACTS
    assert (info.size, bool(info.identity), tail) == (len(DATA), has_facts, DATA[-MB:])


def test_transfer_torn_read_goes_on_where_it_broke(server, url):
    store = store_of(server)
    store.write_bytes(url, DATA)
    server.requests.clear()
    fail_once(server, Fault.TORN_BODY, lambda request: request.method == "GET")
    (found,) = store.read_ranges(url, [ByteRange(100, 4 * MB)])
    assert found == DATA[100 : 4 * MB]
    first, second = (request.span for request in server.requests)
    assert first == f"bytes=100-{4 * MB - 1}"
    start = int(second.removeprefix("bytes=").partition("-")[0])
    assert MB < start <= 100 + (4 * MB - 100) // 2
    assert store.meter.retries == 1


@pytest.mark.parametrize(
    ("what", "matches"),
    [
        ("put", lambda request: request.method == "PUT" and not request.query),
        ("begin", lambda request: request.method == "POST" and request.query.startswith("uploads")),
        ("part", lambda request: "partNumber=2" in request.query),
        ("complete", lambda request: request.method == "POST" and "uploadId=" in request.query),
    ],
)
@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.RESET, Fault.SLOW_DOWN])
def test_transfer_write_survives(server, url, what, matches, fault):
    data = DATA[: 1 * MB] if what == "put" else DATA
    hit = fail_once(server, fault, matches)
    store = store_of(server)
    with store.create(url) as output:
        output.write(data)
    assert len(hit) == 1
    assert sum(matches(request) for request in server.requests) == 2
    assert store.read_bytes(url) == data
    # The client sends a PUT anew by itself when the connection that it had kept is cut.
    assert store.meter.retries == 1 or (hit[0].method == "PUT" and fault is not Fault.SLOW_DOWN)
    assert [info.url for info in store.find(url.parent)] == [url]


def test_transfer_discarded_upload_is_aborted(server, url):
    store = store_of(server)
    output = store.create(url)
    output.write(DATA)
    assert uploads(server, url)
    output.discard()
    assert uploads(server, url) == []
    assert store.find(url.parent) == []


def test_transfer_upload_that_fails_for_good_is_aborted(server, url):
    store = store_of(server)
    server.fault = lambda request: Fault.SLOW_DOWN if "partNumber=2" in request.query else None

    def write():
        with store.create(url) as output:
            output.write(DATA)

    with pytest.raises(TransientError, match="s3://bucket"):
        write()
    server.fault = None
    assert uploads(server, url) == []
    assert store.find(url.parent) == []


def test_transfer_forgotten_output_leaves_no_upload(server, url):
    output = store_of(server).create(url)
    output.write(DATA)
    del output
    assert uploads(server, url) == []


def test_transfer_replaced_file_is_never_mixed_with_its_former_self(server, url):
    store = store_of(server)
    store.write_bytes(url, DATA)
    with store.open_input(url) as file:
        file.read(10)
        store.write_bytes(url, DATA[::-1])
        file.seek(15 * MB)
        with pytest.raises(ConflictError, match="replaced"):
            file.read(10)


def test_transfer_storage_class_is_passed_to_every_kind_of_write(server, url):
    store = store_of(server, storage_class="STANDARD_IA")
    store.write_bytes(url, b"small")
    store.write_bytes(url, DATA)
    asked = [each for each in server.requests if each.storage_class]
    assert [(each.method, each.storage_class) for each in asked] == [
        ("PUT", "STANDARD_IA"),
        ("POST", "STANDARD_IA"),
    ]


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_transfer_endpoints_take_turns(server, url):
    with faulty_s3() as other:
        # Both are doors to the same objects, as the gateways of one cluster are.
        other.inner = server.inner
        store = store_of(server, endpoints=(server.endpoint, other.endpoint))
        store.write_bytes(url, DATA)
        assert store.read_bytes(url) == DATA
        assert len(server.requests) > 3
        assert len(other.requests) > 3
    assert store.meter.failovers == 0


def test_transfer_dead_endpoint_rests_while_the_other_serves(server, url):
    dead = f"http://127.0.0.1:{closed_port()}"
    store = store_of(server, endpoints=(dead, server.endpoint))
    store.write_bytes(url, DATA)
    assert store.read_bytes(url) == DATA
    # Parts in flight may find it dead together; from then on it is left alone.
    assert 1 <= store.meter.failovers <= 2 * POLICY.window
    before = store.meter.failovers
    for _ in range(6):
        store.info(url)
    assert store.meter.failovers == before


def test_transfer_endpoint_is_tried_again_when_all_rest(server):
    endpoints.endpoint_failed("a", ["a", "b"])
    endpoints.endpoint_failed("b", ["a", "b"])
    assert endpoints.next_endpoint(["a", "b"]) == "a"
