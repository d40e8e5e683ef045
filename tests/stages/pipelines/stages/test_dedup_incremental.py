"""Inputs that come in parts give the edges and the ledger of all inputs at once."""

import numpy as np
import pytest

from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.stages import dedup as dedup_stage
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from strata.storage.tables.publish import PublishMode, publish
from tests.support.corpora.texts import json_lines
from tests.support.rows import rows_in_file_order, rows_of
from tests.support.sequential import sequential_context


def texts_with_copies(seed, number=60):
    """Texts of random words; of each a few copies with some words changed, or none."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(number):
        words = [f"w{place}" for place in rng.integers(0, 9000, 80)]
        for _ in range(int(rng.integers(1, 5))):
            copy = list(words)
            for place in rng.integers(0, 80, int(rng.integers(0, 3))):
                copy[place] = f"x{rng.integers(0, 9000)}"
            texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts


def context_of(folder, run_id="run", inputs="in", **dedup):
    settings = {"corpus": "web", "warehouse": str(folder / "wh"), "dedup": dedup}
    path = str(folder.parent / inputs)
    return sequential_context(Settings(inputs=[{"path": path}], **settings), run_id)


def add_part(folder, number, texts):
    folder.mkdir(exist_ok=True)
    (folder / f"part-{number}.jsonl").write_bytes(json_lines(texts))


@pytest.fixture
def parts():
    texts = texts_with_copies(1)
    third = len(texts) // 3
    return [texts[:third], texts[third : 2 * third], texts[2 * third :]]


def in_parts(tmp_path, parts, **dedup):
    home = tmp_path / "steps"
    home.mkdir()
    reports = []
    for number, part in enumerate(parts):
        add_part(tmp_path / "in", number, part)
        context = context_of(home, f"run{number}", **dedup)
        run_shard(context)
        reports.append(run_dedup(context))
    return context, reports


def at_once(tmp_path, **dedup):
    home = tmp_path / "once"
    home.mkdir()
    context = context_of(home, **dedup)
    run_shard(context)
    run_dedup(context)
    return context


@pytest.mark.parametrize(
    ("memory", "rules"), [({}, ["first"]), ({"memory_documents": 0}, ["longest"])]
)
def test_parts_give_the_edges_and_the_ledger_of_all_at_once(tmp_path, parts, memory, rules):
    context, reports = in_parts(tmp_path, parts, survivor=rules, **memory)

    whole = at_once(tmp_path, survivor=rules)

    assert rows_of(context, "edges") == rows_in_file_order(whole, "edges")
    assert rows_in_file_order(context, "clusters") == rows_in_file_order(whole, "clusters")
    assert len(rows_of(whole, "clusters")) > 30
    assert [report.details.new_documents for report in reports] == [len(p) for p in parts]
    for report in reports:
        report.check_balance()


def test_new_part_only_what_can_meet_it_is_compared(tmp_path):
    old = texts_with_copies(3, 200)
    add_part(tmp_path / "in", 0, old)
    context = context_of(tmp_path / "wh", memory_documents=0)
    run_shard(context)
    first = run_dedup(context)
    add_part(tmp_path / "in", 1, ["one new text of words", old[0]])
    later = context_of(tmp_path / "wh", "later", memory_documents=0)
    run_shard(later)

    second = run_dedup(later)

    a_document = first.details.bands + 2
    assert first.details.compared_rows == a_document * len(old)
    assert second.details.compared_rows < a_document * 20
    assert second.rows_in == len(old) + 2


def test_survivors_that_a_new_document_replaces_are_told(tmp_path):
    words = [f"w{number}" for number in range(200)]
    one = " ".join(words)
    far = " ".join(words[:168] + [f"y{n}" for n in range(32)])
    between = " ".join(words[:184] + [f"y{n}" for n in range(16, 32)])
    add_part(tmp_path / "in", 0, [one, far])
    settings = {"threshold": 0.75}
    context = context_of(tmp_path / "wh", **settings)
    run_shard(context)
    assert run_dedup(context).removed == {}
    add_part(tmp_path / "in", 1, [between])
    later = context_of(tmp_path / "wh", "later", **settings)
    run_shard(later)

    report = run_dedup(later)

    assert sum(report.removed.values()) == 2
    second = rows_of(later, "clusters")[1]["doc_id"]
    assert report.details.survivors_replaced == 1
    assert report.details.first_replaced == (second,)


def test_other_survivor_rule_no_search_again(tmp_path, parts):
    add_part(tmp_path / "in", 0, parts[0])
    context = context_of(tmp_path / "wh")
    run_shard(context)
    run_dedup(context)
    other = context_of(tmp_path / "wh", "other", survivor=["longest"])

    report = run_dedup(other)

    assert report.status is StageStatus.DONE
    assert report.details.compared_rows is None
    assert report.rows_in == len(parts[0])
    assert report.details.survivors_replaced == 0


def test_other_search_settings_everything_anew(tmp_path, parts):
    change = {"threshold": 0.9}
    context, _ = in_parts(tmp_path, parts[:2])
    home = tmp_path / "steps"

    report = run_dedup(context_of(home, "other", **change))

    assert report.details.new_documents == len(parts[0]) + len(parts[1])
    whole = at_once(tmp_path, **change)
    assert rows_in_file_order(context, "edges") == rows_in_file_order(whole, "edges")


def test_documents_overwritten_since_everything_anew(tmp_path, parts):
    context, _ = in_parts(tmp_path, parts[:2])
    table = context.corpus.table("documents")
    publish(table, [], mode=PublishMode.OVERWRITE, content_key="other", run_id="x")
    publish(
        context.corpus.table("fingerprints"),
        [],
        mode=PublishMode.OVERWRITE,
        content_key="other",
        run_id="x",
    )

    report = run_dedup(context_of(tmp_path / "steps", "other"))

    assert (report.rows_in, report.details.new_documents) == (0, 0)
    assert rows_of(context, "edges") == []


def test_run_that_died_before_the_ledger_is_finished_without_a_search(tmp_path, parts, monkeypatch):
    add_part(tmp_path / "in", 0, parts[0])
    context = context_of(tmp_path / "wh")
    run_shard(context)

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dedup_stage, "write_ledger", dies)
        with pytest.raises(KeyboardInterrupt):
            run_dedup(context)

    report = run_dedup(context_of(tmp_path / "wh", "again"))

    assert report.details.compared_rows is None
    assert sum(report.removed.values()) > 0
