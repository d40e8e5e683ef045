import pytest

from strata.errors import InputError
from strata.storage.lifecycle.accesses import (
    DAY_MS,
    fold_accesses,
    read_accesses,
    record_accesses,
    record_file_lineage,
)
from strata.storage.tables.file_lineage import FileLineage
from strata.storage.transfer.metering import FileReads

NOW = 20_000 * DAY_MS + 1_000


@pytest.fixture
def clock():
    class Clock:
        now = NOW

        def __call__(self):
            self.now += 1
            return self.now

    return Clock()


@pytest.fixture
def log(any_store, any_folder, clock):
    class Log:
        store, folder, now = any_store, any_folder / "accesses", clock

        def record(self, **reads):
            counted = {name: FileReads(n, 10 * n) for name, n in reads.items()}
            return record_accesses(self.store, self.folder, "r", counted, clock=clock)

        def succeed(self, old, new):
            lineages = [FileLineage(tuple(old), tuple(new))]
            record_file_lineage(self.store, self.folder, "r", lineages, clock=clock)

        def fold(self, *needed, at_least=2):
            return fold_accesses(
                self.store, self.folder, lambda: needed, at_least=at_least, clock=clock
            )

        @property
        def files(self):
            return len(self.store.find(self.folder))

        def reads(self, name, days=400):
            history = read_accesses(self.store, self.folder).of(name)
            return history.reads_since(clock.now - (days - 1) * DAY_MS)

        def last(self, name):
            return read_accesses(self.store, self.folder).of(name).last_ms

    return Log()


def test_accesses_of_an_empty_log_are_none(log):
    assert (log.reads("a"), log.last("a")) == (0, 0)
    assert log.record() is None
    assert log.files == 0


def test_accesses_add_up_over_runs_and_days(log):
    log.record(a=2, b=1)
    log.now.now += 3 * DAY_MS
    log.record(a=5)
    assert (log.reads("a"), log.reads("b"), log.reads("c")) == (7, 1, 0)
    assert (log.reads("a", days=3), log.reads("a", days=4)) == (5, 7)
    assert log.last("a") > log.last("b") > 0
    history = read_accesses(log.store, log.folder).of("a")
    assert history.n_bytes == 70


def test_accesses_successor_inherits_and_merged_files_count_once(log):
    log.record(a=3, b=2)
    log.succeed(["a", "b"], ["c"])
    log.now.now += DAY_MS
    log.succeed(["c"], ["d", "e"])
    log.record(d=4)
    assert (log.reads("c"), log.reads("d"), log.reads("e")) == (3, 7, 3)
    assert log.last("e") == log.last("a")


def test_accesses_folded_log_tells_the_same(log):
    for _ in range(3):
        log.record(a=1, b=2)
        log.now.now += DAY_MS
    log.succeed(["a"], ["c"])
    log.record(c=1)
    before = {name: (log.reads(name), log.last(name)) for name in "abc"}
    assert log.fold("b", "c") == 5
    assert log.files == 1
    assert {name: (log.reads(name), log.last(name)) for name in "abc"} == before
    log.record(b=1)
    assert log.fold("b", "c") == 2
    assert log.reads("b") == before["b"][0] + 1


def test_accesses_few_files_are_not_folded_and_nothing_is_asked(log):
    log.record(a=1)

    def asked():
        raise AssertionError

    assert fold_accesses(log.store, log.folder, asked, at_least=2) == 0
    assert log.files == 1


def test_accesses_fold_that_dies_before_it_deletes_doubles_nothing(log, monkeypatch):
    log.record(a=1)
    log.record(a=2)

    class DeathError(Exception):
        pass

    def dies(*_):
        raise DeathError

    kind = type(log.store)
    for files in (3, 4):
        with monkeypatch.context() as patch:
            patch.setattr(kind, "delete", dies)
            with pytest.raises(DeathError):
                log.fold("a")
        assert log.files == files
        assert log.reads("a") == 3
    log.record(a=4)
    assert log.fold("a") == 5
    assert (log.files, log.reads("a")) == (1, 7)


def test_accesses_fold_that_dies_between_two_deletes_doubles_nothing(log, monkeypatch):
    for _ in range(4):
        log.record(a=1)
    kind = type(log.store)
    real, calls = kind.delete, []

    def second_dies(self, url):
        calls.append(url)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, url)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "delete", second_dies)
        with pytest.raises(KeyboardInterrupt):
            log.fold("a")
    assert log.files == 3
    assert log.reads("a") == 4
    log.fold("a")
    assert (log.files, log.reads("a")) == (1, 4)


def test_accesses_two_folds_at_once_double_nothing(log, monkeypatch):
    log.record(a=1)
    log.record(a=2)
    kind = type(log.store)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "delete", lambda *_: None)
        log.fold("a")
        first = set(log.store.find(log.folder))
    # The second one listed before the first one wrote.
    listed = [info for info in first if b"folded" not in _text(log.store, info.url)]
    with monkeypatch.context() as patch:
        patch.setattr(kind, "find", lambda *_: sorted(listed))
        log.fold("a")
    assert log.files == 2
    assert log.reads("a") == 3


def _text(store, url):
    import zstandard

    return zstandard.decompress(store.read_bytes(url), max_output_size=1 << 20)


def test_accesses_of_files_that_are_gone_are_forgotten_after_a_month(log):
    log.record(gone=1, there=1)
    log.fold("there", at_least=1)
    assert log.reads("gone") == 1
    log.now.now += 31 * DAY_MS
    log.fold("there", at_least=1)
    assert (log.reads("gone"), log.reads("there")) == (0, 1)


def test_accesses_of_more_than_a_year_ago_are_folded_away_but_not_the_last(log):
    log.record(a=1)
    last = log.last("a")
    log.now.now += 400 * DAY_MS
    log.fold("a", at_least=1)
    assert log.reads("a", days=1000) == 0
    assert log.last("a") == last


def test_accesses_damaged_file_is_named_with_the_remedy(log):
    url = log.record(a=1)
    log.store.write_bytes(url, b"nonsense")
    with pytest.raises(InputError, match=rf"{url.name}.*delete it"):
        log.reads("a")
