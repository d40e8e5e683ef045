"""Who holds a corpus, and who is told so: runs of this machine, of others, dead and alive."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import msgspec
import pytest

from strata.errors import ConflictError
from strata.jobs.runner.holding import Holder, Machine, holding, holds_corpus, running_folder
from strata.jobs.runner.options import RunOptions
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()
ELSEWHERE = Machine("far.example", "boot", "pid:[1]")


def options(command="run"):
    return RunOptions(command, "nightly")


def hold(settings, command="run"):
    return holding(STORE, settings, options(command))


def put(settings, **changes):
    """Another run of that kind, which is at work."""
    other = replace(Holder.of(options()), is_working=True, **changes)
    place = running_folder(settings) / f"{other.attempt}.json"
    STORE.write_bytes(place, msgspec.json.encode(other))
    return place


def running(settings):
    return [file.url for file in STORE.find(running_folder(settings))]


def test_holding_second_run_of_the_same_id_is_told(settings):
    with hold(settings), pytest.raises(ConflictError) as caught, hold(settings):
        pytest.fail("both hold it")
    assert "'nightly'" in caught.value.reason
    assert str(os.getpid()) in caught.value.hint


def test_holding_ends_with_the_run_however_it_ends(settings):
    with hold(settings):
        assert len(running(settings)) == 1
    with pytest.raises(KeyboardInterrupt), hold(settings):
        raise KeyboardInterrupt
    assert running(settings) == []
    with hold(settings):
        pass


def test_holding_refused_run_leaves_the_first_one_its_file(settings):
    with hold(settings):
        before = running(settings)
        with pytest.raises(ConflictError), hold(settings):
            pass
        assert running(settings) == before


def test_holding_other_corpora_are_not_concerned(settings):
    with hold(settings), hold(settings.model_copy(update={"corpus": "other"})):
        pass


@pytest.mark.parametrize("command", ["move", "rewrite", "retract", "tune"])
def test_holding_commands_that_go_on_beside_a_run_are_not_concerned(settings, command):
    assert not holds_corpus(command)
    with hold(settings, command), hold(settings), hold(settings, command):
        pass


@pytest.mark.parametrize("command", ["run", "shard", "dedup", "tokenize", "compress", "shard, run"])
def test_holding_commands_of_stages_hold_it(command):
    assert holds_corpus(command)


def test_holding_run_that_was_killed_here_is_passed_over(settings):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    place = put(settings, pid=child.pid, born=_born(child.pid))
    with pytest.raises(ConflictError), hold(settings):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.join()

    with hold(settings):
        assert place not in running(settings)


def _born(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[19]


def test_holding_process_of_the_same_number_is_another_run(settings):
    put(settings, born="1")
    with hold(settings):
        pass


def test_holding_run_elsewhere_is_told_with_its_age_and_how_to_go_on(settings):
    place = put(settings, machine=ELSEWHERE, beat=time.time() - 70)
    with pytest.raises(ConflictError) as caught, hold(settings):
        pass
    assert "far.example" in caught.value.reason
    assert "7" in caught.value.reason
    assert str(place) in caught.value.hint
    STORE.delete(place)
    with hold(settings):
        pass


def test_holding_run_elsewhere_without_sign_of_life_is_passed_over(settings):
    place = put(settings, machine=ELSEWHERE, beat=time.time() - 3600)
    with hold(settings):
        assert place not in running(settings)


def test_holding_of_two_that_begin_at_once_the_first_goes_on(settings):
    first, second = options(), options()
    for each in (first, second):
        place = running_folder(settings) / f"{each.attempt}.json"
        STORE.write_bytes(place, msgspec.json.encode(Holder.of(each)))
    later = max(first, second, key=lambda each: each.attempt)
    with pytest.raises(ConflictError), holding(STORE, settings, later):
        pass
    with holding(STORE, settings, min(first, second, key=lambda each: each.attempt)):
        pass


def test_holding_file_of_another_version_is_no_obstacle(settings):
    STORE.write_bytes(running_folder(settings) / "x.json", b'{"new": 1}')
    with hold(settings):
        pass
