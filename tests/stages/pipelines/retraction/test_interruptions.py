"""A retraction that is killed, or meets other runs, goes on and publishes nothing wrong."""

import pytest

from strata.errors import ConflictError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.lineage.guard import RetractionGuard, unfinished
from strata.pipelines.retraction import run as retraction_run
from strata.pipelines.retraction.run import preview_retraction, run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.storage.layout.properties import RETRACTION
from strata.storage.tables import edit
from tests.support.corpora.complete import run_all
from tests.support.corpora.retracted import TABLES, assert_same, by_ids, request

STAGES = (run_shard, run_dedup, run_tokenize, run_compress)


def dying_after(monkeypatch, publishes):
    """Let a run die right after so many of its publishes, or right before the next one."""
    left = [publishes]
    whole = edit.run_commit

    def dying(table, commit):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return whole(table, commit)

    monkeypatch.setattr(edit, "run_commit", dying)


def test_retract_killed_at_every_step_goes_on_and_nothing_else_does(project, monkeypatch):
    context = project.built()
    gone = ["f4-0", "f9-1", "f3-2", "f0-0"]
    attempts = 0
    while True:
        attempts += 1
        with monkeypatch.context() as patch:
            dying_after(patch, 1)
            try:
                run_retract(project.context(), by_ids(*gone) if attempts % 2 else request())
                break
            except KeyboardInterrupt:
                pass
        assert unfinished(context.corpus)
        for stage in STAGES:
            with pytest.raises(ConflictError, match="retract FILE --resume") as refused:
                stage(project.context())
            assert refused.value.exit_code == 4
    assert attempts == len(TABLES) + 2
    assert_same(context, project.scratch(gone))
    again = run_all(project.context())
    assert {report.status for report in again} == {StageStatus.SKIPPED}


def test_retract_killed_before_anything_was_published_leaves_nothing(project, monkeypatch):
    context = project.built()
    with monkeypatch.context() as patch:
        dying_after(patch, 0)
        with pytest.raises(KeyboardInterrupt):
            run_retract(project.context(), by_ids("f4-0"))
    assert unfinished(context.corpus) is None
    assert {report.status for report in run_all(project.context())} == {StageStatus.SKIPPED}


def test_retract_something_else_while_one_is_open_is_a_conflict(project, monkeypatch):
    context = project.built()
    with monkeypatch.context() as patch:
        dying_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_retract(context, by_ids("f4-0"))
    with pytest.raises(ConflictError, match="id 'f4-0'"):
        run_retract(context, by_ids("f4-1"))
    with pytest.raises(ConflictError, match="id 'f4-0'"):
        run_retract(context, by_ids("f4-0", "f4-1"))
    assert preview_retraction(context, request()).selectors == (Selector(SelectorKind.ID, "f4-0"),)
    run_retract(context, request())
    assert_same(context, project.scratch(["f4-0"]))


@pytest.mark.parametrize("stage", [run_dedup, run_tokenize])
def test_retract_while_a_stage_is_at_work_its_result_is_not_published(project, monkeypatch, stage):
    context = project.built()
    changed = {"dedup": {"threshold": 0.85, "survivor": ["longest"]}}
    if stage is run_tokenize:
        run_dedup(project.context(**changed))
    whole = RetractionGuard.check

    def late(guard, tables):
        run_retract(project.context(**changed), by_ids("f4-0"))
        monkeypatch.setattr(RetractionGuard, "check", whole)
        guard.check(tables)

    monkeypatch.setattr(RetractionGuard, "check", late)
    with pytest.raises(ConflictError, match="retracted while the stage was at work"):
        stage(project.context(**changed))

    run_all(project.context(**changed))
    assert_same(context, project.scratch(["f4-0"], **changed))


def test_retract_while_cuts_are_made_they_are_not_published(project, monkeypatch):
    context = project.built()
    changed = {"dedup": {"passages": "line"}}
    whole = RetractionGuard.check

    def late(guard, tables):
        monkeypatch.setattr(RetractionGuard, "check", whole)
        run_retract(project.context(**changed), by_ids("f4-0"))
        guard.check(tables)

    monkeypatch.setattr(RetractionGuard, "check", late)
    with pytest.raises(ConflictError, match="publishes nothing to cuts"):
        run_dedup(project.context(**changed))

    assert context.corpus.table("cuts").files() == []


def test_retract_publish_of_another_process_in_between_is_told_and_mended(project, monkeypatch):
    context = project.built()
    whole = retraction_run.pending_tables

    def meanwhile(corpus, key):
        table = corpus.table("clean")
        edit.edit_files(
            table,
            [],
            onto=table.content_key,
            content_key="other",
            run_id="r",
            extra={RETRACTION: ""},
        )
        return whole(corpus, key)

    with monkeypatch.context() as patch:
        patch.setattr(retraction_run, "pending_tables", meanwhile)
        with pytest.raises(ConflictError, match="published to clean while"):
            run_retract(context, by_ids("f4-0"))
    receipt = run_retract(context, by_ids("f4-0")).details.receipt
    assert receipt.stale == ["clean"]
