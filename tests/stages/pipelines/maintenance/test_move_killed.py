"""kill -9 before each single call that a move makes: tables are right, the next move goes on."""

import itertools
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.lifecycle import move_cleanup
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tier_files import files_in
from tests.support.corpora.tiered import NO_GRACE, ids_by_ref, journal_of, move, put, tag, tiered
from tests.support.faults.schedules import steps_at_every_call

GROUPS = 8
FEWEST_CALLS = 60
ROWS = {"main": [1, 2, 3, 4], "v1": [1, 2]}


def killed_move(settings, at, grace):
    """Move in a process of its own, killed before call number ``at``; whether it came so far."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def step(_):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            with steps_at_every_call(step):
                move(settings, grace, run_id="killed")
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def filled(folder, *, level):
    settings = tiered(str(folder), level=level)
    with open_to_write(settings) as corpus:
        put(corpus, settings, [1, 2])
        tag(corpus, "v1")
        put(corpus, settings, [3])
        put(corpus, settings, [4], days=1)
    return settings


def check_finished(settings, monkeypatch):
    with open_to_write(settings) as corpus:
        assert ids_by_ref(corpus) == ROWS
        move(settings, run_id="next")
        assert ids_by_ref(corpus) == ROWS
        held = {each.file.min_doc_id: each for each in held_files(corpus.table("clusters"))}
        assert {i: "/cold/" in each.file.url for i, each in held.items()} == {
            1: True,
            3: True,
            4: False,
        }
        # Once the killed run must be over, nothing of it is left.
        monkeypatch.setattr(move_cleanup, "LONGEST_MOVE", NO_GRACE)
        move_cleanup.clean_up_moves(corpus, NO_GRACE)
        expire(corpus.table("clusters"), datetime.now(UTC) + timedelta(seconds=1))
        tiers = tiers_of(settings)
        orphans = find_orphans(corpus, tiers.values(), timedelta(seconds=-1))
        collect_garbage(corpus.store, orphans)
        there = [
            info for name in ("hot", "cold") for info in files_in(corpus.store, tiers[name].url)
        ]
        assert sorted(str(i.url) for i in there) == sorted(h.file.url for h in held.values())
        assert ids_by_ref(corpus) == ROWS
        journal = journal_of(corpus)
        assert (journal.intents(), journal.all_copied()) == ([], [])


@pytest.mark.parametrize("group", range(GROUPS))
def test_move_killed_before_any_call_the_next_one_finishes(tmp_path, group, monkeypatch):
    for at in itertools.count(group, GROUPS):
        # Copies and recompression in turn.
        settings = filled(tmp_path / str(at), level=3 if (at // GROUPS) % 2 else 5)
        was_killed = killed_move(settings, at, timedelta(hours=24))
        with monkeypatch.context() as patch:
            check_finished(settings, patch)
        if not was_killed:
            break
    assert at >= FEWEST_CALLS


@pytest.mark.parametrize("group", range(GROUPS))
def test_settling_killed_before_any_call_the_next_one_finishes(tmp_path, group, monkeypatch):
    for at in itertools.count(group, GROUPS):
        settings = filled(tmp_path / str(at), level=5)
        move(settings)
        was_killed = killed_move(settings, at, NO_GRACE)
        with monkeypatch.context() as patch:
            check_finished(settings, patch)
        if not was_killed:
            break
