"""Tuning tells of the present settings what a run with them does, and picks by rule."""

import json

import numpy as np
import pytest
from rich.console import Console

from strata.errors import InputMissingError
from strata.jobs.cli import main
from strata.jobs.tune_dedup import show_tuning
from strata.pipelines.evaluation.tune import (
    USUAL,
    Choice,
    TrialResult,
    Tuning,
    choices,
    evaluate,
    recommended,
    tune,
)
from strata.pipelines.evaluation.tune_sample import MAX_NEIGHBOURS, draw_sample
from strata.pipelines.kernels.banding import Banding
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings, VerifyMethod
from tests.support.corpora.texts import json_lines
from tests.support.oracles.shingles import jaccard_of
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

THRESHOLD, NGRAM = 0.7, 3


def texts_with_copies(seed, families):
    rng = np.random.default_rng(seed)
    texts = ["...", "...", "one word"]
    for _ in range(families):
        words = [f"w{place}" for place in rng.integers(0, 9000, 70)]
        texts.append(" ".join(words))
        for _ in range(int(rng.integers(0, 4))):
            copy = list(words)
            for place in rng.integers(0, 70, int(rng.integers(0, 9))):
                copy[place] = f"x{rng.integers(0, 9000)}"
            texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts


def context_of(folder, texts, row_group_mb=32, **dedup):
    (folder / "in").mkdir()
    for part in range(2):
        (folder / "in" / f"part-{part}.jsonl").write_bytes(json_lines(texts[part::2], part * 1000))
    settings = Settings(
        corpus="web",
        warehouse=str(folder / "wh"),
        inputs=[{"path": str(folder / "in")}],
        shard={"landing": "small"},
        tiers={"small": {"url": str(folder / "small"), "row_group_mb": row_group_mb}},
        dedup={"threshold": THRESHOLD, "ngram": NGRAM, "audit_documents": 0, **dedup},
    )
    context = sequential_context(settings)
    run_shard(context)
    return context


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return context_of(tmp_path_factory.mktemp("tune"), texts_with_copies(3, 120), bands=4, rows=5)


@pytest.fixture(scope="module")
def sample(context):
    return draw_sample(context, 10**6)


def test_sample_of_all_documents_has_the_exact_similarities(context, sample):
    documents = rows_of(context, "documents", ["doc_id", "text"])
    texts = {row["doc_id"]: row["text"] for row in documents if row["text"] != "..."}

    ids = sample.rows.doc_id
    assert ids.tolist() == sorted(texts)
    assert sample.drawn.all()
    assert len(sample.left) > 100
    for left, right, found in list(zip(sample.left, sample.right, sample.jaccard, strict=True))[
        :90
    ]:
        assert found == jaccard_of(texts[ids[left]], texts[ids[right]], NGRAM)


def test_evaluate_present_settings_what_a_run_removes(context, sample):
    run_dedup(context)
    removed = {
        row["doc_id"] for row in rows_of(context, "clusters", ["doc_id", "kept"]) if not row["kept"]
    }
    ids = sample.rows.doc_id
    true = sample.jaccard >= THRESHOLD
    pairs = list(zip(ids[sample.left[true]], ids[sample.right[true]], strict=True))
    right = {each for pair in pairs for each in pair}
    # The two texts without a word are no part of the sample.
    wordy = removed & set(ids.tolist())

    outcome = evaluate(Choice(Banding(4, 5)), THRESHOLD, sample, sample.rows.signature)

    assert outcome.recall == np.mean([a in removed or b in removed for a, b in pairs]) < 1
    assert outcome.false_removals == np.mean([each not in right for each in wordy]) > 0
    assert outcome.document_bytes == 6 * 48
    assert outcome.seconds > 0


def test_evaluate_exact_verification_removes_no_wrong_document(sample):
    def outcome(**choice):
        return evaluate(Choice(Banding(30, 5), **choice), THRESHOLD, sample, sample.rows.signature)

    sketch, exact = outcome(margin=2.0), outcome(margin=2.0, verification=VerifyMethod.EXACT)

    assert exact.false_removals < sketch.false_removals
    assert exact.recall >= sketch.recall - 0.02
    assert exact.checked > 0 == sketch.checked


def test_evaluate_wider_sketches_fewer_wrong_removals(sample):
    narrow, wide = (
        evaluate(Choice(Banding(30, 5), bits), THRESHOLD, sample, sample.rows.signature)
        for bits in (1, 8)
    )
    assert wide.false_removals < narrow.false_removals
    assert wide.document_bytes == 32 * (16 + 256)


def test_sample_draws_some_and_all_that_is_similar(context, sample):
    part = draw_sample(context, 60)
    chosen = set(part.rows.doc_id[part.drawn].tolist())
    whole = sample.rows.doc_id

    assert 30 < len(chosen) < 100
    expected = {
        tuple(pair)
        for pair in zip(whole[sample.left], whole[sample.right], strict=True)
        if chosen & set(pair)
    }
    found = zip(part.rows.doc_id[part.left], part.rows.doc_id[part.right], strict=True)
    assert {pair for pair in found if chosen & set(pair)} == expected
    assert expected


def test_sample_of_a_large_family_is_bounded(tmp_path):
    words = [f"w{place}" for place in range(300)]
    family = [" ".join([*words[:place], f"x{place}", *words[place + 1 :]]) for place in range(300)]
    part = draw_sample(context_of(tmp_path, family), 20)

    assert MAX_NEIGHBOURS <= len(part.rows.doc_id) <= MAX_NEIGHBOURS + part.drawn.sum()


def test_sample_is_the_same_however_often_neighbours_are_thinned(tmp_path):
    words = [f"w{place}" for place in range(300)]
    family = [" ".join([*words[:place], f"x{place}", *words[place + 1 :]]) for place in range(300)]
    # Row groups of a few documents, which are compared with the sample one after the other.
    context = context_of(tmp_path, family, row_group_mb=0.005)
    at_once = draw_sample(context, 20)

    thinned = draw_sample(context, 20, waiting_rows=1)

    assert thinned.rows.doc_id.tolist() == at_once.rows.doc_id.tolist()


def test_tune_marks_the_present_settings_and_publishes_nothing(context):
    before = context.corpus.existing_tables()

    tuning = tune(context)

    assert tuning.outcomes[tuning.present].choice == Choice(Banding(4, 5))
    assert tuning.outcomes[tuning.recommended].recall >= 0.99
    assert tuning.documents == len(rows_of(context, "documents", ["doc_id"]))
    assert context.corpus.existing_tables() == before


def test_tune_without_documents_told(tmp_path):
    settings = Settings(corpus="web", warehouse=str(tmp_path / "wh"), inputs=[{"path": "none"}])
    with pytest.raises(InputMissingError, match="web has no fingerprints"):
        tune(sequential_context(settings))


def test_command_tune_without_documents_exits_with_its_code(tmp_path, capsys):
    file = tmp_path / "web.toml"
    warehouse = f'warehouse = "{tmp_path / "wh"}"'
    file.write_text(f'corpus = "web"\n{warehouse}\n[[inputs]]\npath = "none"\n')

    assert main(["dedup", str(file), "--tune"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["code"] == 3


def test_command_tune_dry_run_shows_the_plan(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(json_lines(["one"]))
    file = tmp_path / "web.toml"
    file.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path / "wh"}"\n[[inputs]]\npath = "{tmp_path / "in"}"\n'
    )

    assert main(["dedup", str(file), "--tune", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["files to read"] == 1


@pytest.mark.parametrize("threshold", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("verify", VerifyMethod)
def test_choices_has_the_present_one_and_each_once(threshold, verify):
    present = Choice(Banding(20, 5), verification=verify)
    tried = choices(present, threshold)

    assert present in tried
    assert len(set(tried)) == len(tried)
    assert Choice(USUAL, verification=verify) in tried
    assert {choice.bits for choice in tried} == {1, 2, 8}


def outcome_of(bands, rows, recall, **choice):
    made = Choice(Banding(bands, rows), **choice)
    return TrialResult(made, 0.99, recall, 0.01, 0.0, made.document_bytes, 1.0)


def test_recommended_shuffles_least_of_what_finds_enough():
    outcomes = [
        outcome_of(9, 4, 0.9985),
        outcome_of(20, 6, 0.9999),
        outcome_of(5, 6, 0.99),
        outcome_of(1, 6, 0.9999, bits=2),
    ]
    assert recommended(outcomes, 1_000) == 0
    assert recommended(outcomes, 10**9) == 1
    assert recommended(outcomes[2:], 1_000) == 0


def test_show_tuning_marks_and_says_what_to_set():
    outcomes = (
        outcome_of(23, 6, 0.9999),
        outcome_of(9, 4, 0.9985),
        outcome_of(23, 6, 1.0, bits=8, verification=VerifyMethod.EXACT),
    )
    console = Console(record=True, width=110)

    show_tuning(Tuning(0.8, 20_000, 4_000, 7_000, 5_000, outcomes, 0, 1), console)

    lines = console.export_text().splitlines()
    assert "present" in next(line for line in lines if "23 × 6 " in line)
    assert "recommended" in next(line for line in lines if "9 × 4 " in line)
    assert any("23 × 6, 8 bits, exact" in line for line in lines)
    assert lines[-1] == 'recommended: bands = 9, rows = 4, verify = "sketch"'
