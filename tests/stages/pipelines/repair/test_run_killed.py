"""kill -9 before each call by which a repair changes anything: the next one finishes it."""

import itertools
import os
import shutil
import signal
from dataclasses import replace
from datetime import timedelta

import pytest

from strata.pipelines.repair.run import RepairMode, RepairStatus, repair
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.integrity.verify import verify
from strata.storage.tables.tags import tag_corpus
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.complete import write_records
from tests.support.faults.schedules import steps_at_every_call
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

GROUPS = 4
FEWEST_CALLS = 25
CHANGES = ("create", "_publish", "delete", "commit_table")
REBUILT = ("documents", "fingerprints")
CLEARED = ("clusters", "edges")
RECORDS = [{"id": f"d{n}", "text": f"some words of document {n // 2}"} for n in range(6)]


@pytest.fixture
def broken(tmp_path):
    """A tagged corpus that lacks a file of each of three tables, kept to be laid anew."""
    write_records(tmp_path / "in", {"a.jsonl": RECORDS})
    settings = Settings(
        corpus="web", warehouse=str(tmp_path / "wh"), inputs=[{"path": str(tmp_path / "in")}]
    )
    context = sequential_context(settings, "first")
    run_shard(context)
    run_dedup(context)
    tag_corpus(context.corpus, "v1")
    rows = {table: rows_of(context, table) for table in (*REBUILT, *CLEARED)}
    context.corpus.close()
    for table in (*REBUILT, "edges"):
        (file,) = sequential_context(settings).corpus.table(table).files()
        os.remove(file.location.path)
    shutil.copytree(tmp_path / "wh", tmp_path / "kept")
    return settings, rows


def mend(settings, run_id):
    context = replace(sequential_context(settings), run_id=run_id)
    with context.corpus as corpus:
        found = verify(corpus, context.store).findings
        return found, repair(context, found, RepairMode.PUBLISH)


def killed_repair(settings, at):
    """Repair in a process of its own, killed before call number ``at``; whether it came so far."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def step(name):
            # Between two changes all is as it was after the first.
            if name in CHANGES and next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            with steps_at_every_call(step):
                mend(settings, "killed")
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def check_finished(settings, rows):
    found, repairs = mend(settings, "next")
    # What the killed one did is done, and it broke nothing else.
    assert {check.table for check in found} <= {*REBUILT, "edges"}
    assert len(repairs) == len(found)
    # Nothing else holds the edges of the tag, until the next run has made them anew.
    assert {each.outcome for each in repairs if each.table != "edges"} <= {RepairStatus.REBUILT}, (
        repairs
    )
    assert {each.outcome for each in repairs if each.table == "edges"} <= {RepairStatus.LOST}, (
        repairs
    )
    context = sequential_context(settings, "again")
    with context.corpus as corpus:
        assert [rows_of(context, table) for table in CLEARED] == [[], []]
        orphans = find_orphans(corpus, tiers_of(settings).values(), timedelta(seconds=-1))
        collect_garbage(corpus.store, orphans)
        run_dedup(context)
        assert {table: rows_of(context, table) for table in rows} == rows
        # The tag names a table that was cleared: what the run made anew is a copy of it.
        found, repairs = mend(settings, "tags")
        assert [(check.table, check.refs) for check in found] == [("edges", {"v1"})]
        assert [each.outcome for each in repairs] == [RepairStatus.REBUILT]
        assert verify(corpus, context.store).findings == []
        for table in REBUILT:
            assert rows_of(context, table) == rows[table]


@pytest.mark.parametrize("group", range(GROUPS))
def test_repair_killed_before_any_change_the_next_one_finishes(tmp_path, broken, group):
    settings, rows = broken
    for at in itertools.count(group, GROUPS):
        shutil.rmtree(tmp_path / "wh")
        shutil.copytree(tmp_path / "kept", tmp_path / "wh")
        was_killed = killed_repair(settings, at)
        check_finished(settings, rows)
        if not was_killed:
            break
    assert at >= FEWEST_CALLS
