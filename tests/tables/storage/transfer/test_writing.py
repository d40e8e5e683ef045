import gc
import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from strata.errors import MachineError, TransientError
from strata.storage.contracts.store import PartUpload
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import IoMeter, counting
from strata.storage.transfer.retry import retried
from strata.storage.transfer.store import TransferStore
from strata.storage.transfer.writing import PartedOutput

POLICY = TransferPolicy(part_bytes=10, window=3, attempts=3, first_pause=0.0)


@dataclass
class Upload(PartUpload):
    """An upload into memory; ``gate`` parts must be in flight together before any is done."""

    gate: int = 1
    failures: dict[int, list[Exception]] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    whole: bytes | None = None
    aborted: bool = False
    flying: int = 0
    most: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, data):
        self.whole = bytes(data)

    def begin(self):
        """Nothing to start."""

    def send(self, number, data):
        with self.changed:
            self.flying += 1
            self.most = max(self.most, self.flying)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.most >= self.gate, timeout=30)
            self.flying -= 1
        if self.failures.get(number):
            raise self.failures[number].pop()
        self.parts[number] = bytes(data)
        return f"tag-{number}"

    def complete(self, tags):
        assert list(tags) == [f"tag-{number}" for number in sorted(self.parts)]
        self.whole = b"".join(self.parts[number] for number in sorted(self.parts))

    def abort(self):
        self.aborted = True


def test_transfer_parts_are_in_flight_together_and_never_more_than_the_window():
    upload = Upload(gate=POLICY.window)
    with PartedOutput(upload, POLICY) as output:
        output.write(bytes(range(200)))
        assert output.tell() == 200
    assert upload.whole == bytes(range(200))
    assert upload.most == POLICY.window


def test_transfer_outputs_that_are_open_together_share_the_window():
    open_parts, most, lock = set(), [0], threading.Lock()

    class Counted(Upload):
        def begin(self):
            with lock:
                open_parts.add(id(self))
                most.append(len(open_parts))

        def send(self, number, data):
            tag = super().send(number, data)
            with lock:
                open_parts.discard(id(self))
            return tag

    uploads = [Counted() for _ in range(40)]
    outputs = [PartedOutput(upload, POLICY) for upload in uploads]
    for output in outputs:
        output.write(bytes(10))
    for output in outputs:
        output.close()
    assert [upload.whole for upload in uploads] == [bytes(10)] * 40
    assert max(most) <= POLICY.window


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25])
@pytest.mark.parametrize("step", [1, 7, 10, 100])
def test_transfer_output_of_any_size_is_whole(size, step):
    upload, data = Upload(), bytes(range(size))
    with PartedOutput(upload, POLICY) as output:
        for at in range(0, size, step):
            output.write(memoryview(data)[at : at + step])
    assert upload.whole == data
    assert (not upload.parts) == (size < 10)


def test_transfer_failed_part_is_sent_again():
    upload, meter = (
        Upload(failures={2: [TransientError("busy"), TransientError("busy")]}),
        IoMeter(),
    )
    with counting(meter), PartedOutput(upload, POLICY) as output:
        output.write(bytes(range(40)))
    assert upload.whole == bytes(range(40))
    assert meter.retries == 2


@pytest.mark.parametrize(
    "failures", [[MachineError("quota")], [TransientError("busy") for _ in range(9)]]
)
def test_transfer_part_that_fails_for_good_aborts_and_tells(failures):
    kind, upload = type(failures[0]), Upload(failures={1: failures})
    with pytest.raises(kind), PartedOutput(upload, POLICY) as output:  # noqa: PT012
        for _ in range(20):
            output.write(bytes(10))
    assert upload.aborted
    assert upload.whole is None


def test_transfer_discarded_output_is_aborted_and_never_appears():
    upload = Upload()
    output = PartedOutput(upload, POLICY)
    output.write(bytes(35))
    output.discard()
    output.close()
    assert upload.aborted
    assert upload.whole is None


def test_transfer_output_that_its_own_thread_collects_does_not_wait_for_itself():
    forgotten, sent = threading.Event(), threading.Event()

    class Collecting(Upload):
        def send(self, number, data):
            assert forgotten.wait(timeout=30)
            gc.collect()
            sent.set()
            return super().send(number, data)

    def forget(upload):
        output = PartedOutput(upload, POLICY)
        output.itself = output
        output.write(bytes(10))

    upload = Collecting()
    gc.disable()
    try:
        forget(upload)
        forgotten.set()
        assert sent.wait(timeout=30)
    finally:
        gc.enable()
    assert upload.whole is None


@dataclass(frozen=True, slots=True)
class Flaky(FsspecStore):
    """A store whose ``create`` fails so many times."""

    failures: list[Exception] = field(default_factory=list)

    def create(self, url):
        if self.failures:
            raise self.failures.pop()
        return FsspecStore.create(self, url)


@pytest.mark.parametrize("size", [3, 300])
def test_transfer_stores_without_parts_send_small_and_large_files_again(size):
    url = Url.parse(f"memory://spool/{size}")
    store = TransferStore(Flaky(failures=[TransientError("busy")] * 2), POLICY)
    with store.create(url) as output:
        for _ in range(size):
            output.write(b"x")
    assert store.read_bytes(url) == b"x" * size


def test_transfer_terminal_fault_is_told_at_once():
    flaky = Flaky(failures=[MachineError("quota"), MachineError("quota")])
    with pytest.raises(MachineError, match="quota"):
        TransferStore(flaky, POLICY).write_bytes(Url.parse("memory://spool/quota"), b"x")
    assert len(flaky.failures) == 1


def test_transfer_pauses_are_random_within_a_bound_that_doubles(monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    policy = TransferPolicy(attempts=8, first_pause=1.0, longest_pause=5.0, retry_seconds=1e9)

    def fail():
        raise TransientError("busy")

    for _ in range(50):
        with pytest.raises(TransientError, match="attempt 8"):
            retried(policy, fail)
    for number in range(7):
        drawn = pauses[number::7]
        assert len(drawn) == 50
        assert max(drawn) <= min(2.0**number, 5.0)
        assert len(set(drawn)) > 40


def test_transfer_time_limit_ends_attempts_early(monkeypatch):
    calls = []
    monkeypatch.setattr(random, "uniform", lambda _, high: high)

    def fail():
        calls.append(1)
        raise TransientError("busy")

    policy = TransferPolicy(attempts=100, first_pause=60.0, longest_pause=60.0, retry_seconds=30.0)
    with pytest.raises(TransientError, match="attempt 1 "):
        retried(policy, fail)
    assert len(calls) == 1
