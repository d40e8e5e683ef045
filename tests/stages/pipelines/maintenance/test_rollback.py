"""Tags of whole corpora, and returning to them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from strata.errors import ConflictError, SettingsError
from strata.jobs.cli import main
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.lineage.guard import RetractionState
from strata.pipelines.maintenance.rollback import plan_rollback, roll_back
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.other_corpora import reference_corpora
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import Settings
from strata.storage.cleanup.expiry import expire
from strata.storage.layout.properties import RETRACTION, RETRACTION_STATE
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.tags import delete_tag, tag_corpus, tags_of
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

FIRST = [{"id": f"a-{n}", "text": f"text {n} of the first file with more words"} for n in range(9)]
MORE = [{"id": f"b-{n}", "text": f"other {n} that the second file adds to it"} for n in range(7)]


@pytest.fixture
def settings(tmp_path):
    write_records(tmp_path / "in", {"a.jsonl": FIRST})
    return Settings(
        corpus="web",
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(tmp_path / "in")}],
        tokenize={"train": {"vocab_size": 300}},
    )


@pytest.fixture
def context(settings):
    context = sequential_context(settings, "first")
    run_all(context)
    return context


def add_more(context, tmp_path):
    write_records(tmp_path / "in", {"b.jsonl": MORE})
    run_all(context)


def return_to(context, name):
    steps = plan_rollback(context.corpus, name)
    roll_back(context.corpus, steps, "back")
    return steps


def test_rollback_to_a_tag_gives_the_tables_of_then(context, tmp_path):
    then, keys = contents(context), dict(tag_corpus(context.corpus, "v1"))
    add_more(context, tmp_path)
    later = contents(context)
    assert len(later["documents"]) == len(FIRST) + len(MORE)
    assert {step.table for step in return_to(context, "v1")} >= {"documents", "inputs", "tokens"}
    assert contents(context) == then
    assert {name: context.corpus.table(name).snapshot_id() for name in keys} == keys
    assert return_to(context, "v1") == []
    # The next run goes on from there: the file of meanwhile is new again.
    run_all(context)
    assert contents(context) == later
    assert {report.status for report in run_all(context)} == {StageStatus.SKIPPED}


def test_rollback_that_stops_after_any_step_is_mended_by_the_next_run_and_by_itself(
    context, tmp_path
):
    then = contents(context)
    tag_corpus(context.corpus, "v1")
    add_more(context, tmp_path)
    later = contents(context)
    steps = plan_rollback(context.corpus, "v1")
    for number in range(1, len(steps)):
        roll_back(context.corpus, plan_rollback(context.corpus, "v1")[:number], "back")
        run_all(context)
        assert contents(context) == later, steps[:number]
    roll_back(context.corpus, plan_rollback(context.corpus, "v1")[:2], "back")
    return_to(context, "v1")
    assert contents(context) == then


def test_rollback_empties_what_the_state_did_not_have(settings):
    context = sequential_context(settings, "first")
    run_shard(context)
    tag_corpus(context.corpus, "raw")
    run_all(context)
    whole = contents(context)
    return_to(context, "raw")
    assert [name for name, rows in contents(context).items() if rows] == [
        "documents",
        "fingerprints",
    ]
    assert return_to(context, "raw") == []
    run_all(context)
    assert contents(context) == whole


def test_rollback_to_a_snapshot_takes_the_tables_of_its_stage_along(context, tmp_path):
    before = context.corpus.table("documents").snapshot_id()
    inputs = rows_of(context, "inputs")
    add_more(context, tmp_path)
    tokens = rows_of(context, "tokens")
    steps = return_to(context, str(before))
    assert [step.table for step in steps] == ["inputs", "fingerprints", "documents"] or [
        step.table for step in steps
    ] == ["inputs", "fingerprints", "rejects", "documents"]
    assert rows_of(context, "inputs") == inputs
    assert rows_of(context, "tokens") == tokens


def test_rollback_never_brings_retracted_documents_back(context):
    tag_corpus(context.corpus, "v1")
    before = context.corpus.table("documents").snapshot_id()
    run_retract(context, RetractRequest((Selector(SelectorKind.ID, "a-3"),)))
    now = contents(context)
    for state in ("v1", str(before)):
        with pytest.raises(ConflictError, match="were retracted since"):
            plan_rollback(context.corpus, state)
    assert contents(context) == now
    tag_corpus(context.corpus, "v2")
    assert plan_rollback(context.corpus, "v2") == []


def test_rollback_beside_a_writer_is_refused(context, tmp_path):
    tag_corpus(context.corpus, "v1")
    add_more(context, tmp_path)
    steps = plan_rollback(context.corpus, "v1")
    write_records(tmp_path / "in", {"c.jsonl": MORE[:2]})
    run_all(context)
    now = contents(context)
    with pytest.raises(ConflictError, match="another run published"):
        roll_back(context.corpus, steps, "back")
    assert contents(context) == now


def test_rollback_to_a_state_that_expires_meanwhile_is_refused(context, tmp_path):
    before = context.corpus.table("documents").snapshot_id()
    add_more(context, tmp_path)
    steps = plan_rollback(context.corpus, str(before))
    for step in steps:
        expire(context.corpus.table(step.table), datetime.now(UTC) + timedelta(seconds=1))
    now = contents(context)
    with pytest.raises(ConflictError, match="has just expired"):
        roll_back(context.corpus, steps, "back")
    assert contents(context) == now


def test_rollback_beside_a_retraction_that_has_begun_is_refused(context, tmp_path):
    tag_corpus(context.corpus, "v1")
    add_more(context, tmp_path)
    steps = plan_rollback(context.corpus, "v1")
    now = contents(context)
    publish(
        context.corpus.table("retractions"),
        [],
        mode=PublishMode.APPEND,
        content_key="begun",
        run_id="retract",
        extra={RETRACTION: "key", RETRACTION_STATE: RetractionState.OPEN},
    )
    with pytest.raises(ConflictError, match="is not finished"):
        roll_back(context.corpus, steps, "back")
    assert contents(context) == now


def test_tag_names_the_state_of_all_tables_and_goes_from_all(context, tmp_path):
    state = tag_corpus(context.corpus, "v1")
    assert set(state) == set(context.corpus.existing_tables())
    assert tag_corpus(context.corpus, "v1") == state
    add_more(context, tmp_path)
    with pytest.raises(ConflictError, match="names another state"):
        tag_corpus(context.corpus, "v1")
    assert delete_tag(context.corpus, "v1") == state
    assert tags_of(context.corpus) == {}
    with pytest.raises(SettingsError, match="has no tag 'v1'"):
        delete_tag(context.corpus, "v1")
    with pytest.raises(SettingsError, match="has no tag 'v1'"):
        plan_rollback(context.corpus, "v1")


def test_tag_that_died_half_way_is_finished(context):
    state = tag_corpus(context.corpus, "v1")
    table = context.corpus.table("tokens")
    table.iceberg().manage_snapshots().remove_tag("v1").commit()
    assert tag_corpus(context.corpus, "v1") == state
    assert tags_of(context.corpus) == {"v1": state}


@pytest.mark.parametrize("name", ["main", "", "1", "a b", "-x", "x" * 64, "a/b"])
def test_tag_of_a_bad_name_is_refused(context, name):
    with pytest.raises(SettingsError, match="cannot be the name of a tag"):
        tag_corpus(context.corpus, name)


def test_tag_of_another_corpus_may_be_compared_with(context, settings, tmp_path):
    tag_corpus(context.corpus, "v1")
    add_more(context, tmp_path)
    write_records(tmp_path / "new", {"a.jsonl": [*FIRST[:3], *MORE[:2]]})
    other = Settings(
        corpus="new",
        warehouse=settings.warehouse,
        inputs=[{"path": str(tmp_path / "new")}],
        dedup={"against": ["web@v1"]},
    )
    mine = sequential_context(other, "new")
    run_shard(mine)
    found = reference_corpora(mine.corpus, mine.settings.dedup)
    assert [corpus.rows for corpus in found] == [len(FIRST)]
    run_dedup(mine)
    dropped = [row for row in rows_of(mine, "clusters") if row["doc_id"] >= 0 and not row["kept"]]
    assert len(dropped) == 3


@pytest.fixture
def say(context, tmp_path, capsys):
    """Run `strata storage ACTION FILE …` and give exit code and JSON."""
    path = tmp_path / "web.toml"
    path.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path}/wh"\n[[inputs]]\npath = "{tmp_path}/in"\n'
    )

    def say(action, *flags):
        code = main(["storage", action, str(path), "--json", *flags])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else {}

    return say


def test_commands_tag_list_roll_back_and_delete(context, say, tmp_path):
    then = contents(context)
    assert say("tag", "v1")[1]["action"] == "set"
    add_more(context, tmp_path)
    tagged = [row for row in say("snapshots")[1]["snapshots"] if row["tags"] == "v1"]
    assert {row["table"] for row in tagged} >= {"documents", "tokens", "clean", "clusters"}
    assert say("rollback", "--to", "v1", "--dry-run")[1]["tables"] >= 5
    assert contents(context) != then
    assert say("rollback", "--to", "v1")[0] == 0
    assert contents(context) == then
    # What a tag names is never expired.
    say("expire", "--older-than", "0")
    assert say("rollback", "--to", "v1") == (0, say("rollback", "--to", "v1")[1])
    assert say("tag", "v1", "--delete")[1]["action"] == "deleted"
    assert say("rollback", "--to", "v1")[0] == 2


def test_expire_keeps_the_last_snapshots(context, say, tmp_path):
    add_more(context, tmp_path)
    held = {name: context.corpus.table(name).snapshots() for name in ("documents", "clusters")}
    assert min(map(len, held.values())) >= 2
    say("expire", "--older-than", "0", "--keep-last", "2")
    for name, snapshots in held.items():
        assert context.corpus.table(name).snapshots() == snapshots[-2:]
    say("expire", "--older-than", "0")
    assert all(len(context.corpus.table(name).snapshots()) == 1 for name in held)
