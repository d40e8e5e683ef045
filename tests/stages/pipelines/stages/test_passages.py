"""The dedup stage with finer grains: `cuts`, and what tokenize and export make of them."""

import numpy as np
import pytest

from strata.errors import ConflictError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.oracles.passages import (
    lines_of,
    paragraphs_of,
    repeated_units,
    repeated_words,
    without_bytes,
    words_of,
)
from tests.support.rows import exported, rows_of
from tests.support.sequential import sequential_context

FOOTER = "\n\nAll rights are reserved by the author of this page.\nWrite to us, we answer soon.\n"
TRAIN = {"train": {"vocab_size": 400, "sample_mb": 0.1}}


@pytest.fixture(scope="module")
def texts():
    """Library sources with a footer, a copy, one that is made of others, one of one word."""
    whole = [text[:3000] for text in library_texts(12)]
    part = whole[2][300:1500] + "\nnew words of its own\n" + whole[1][100:2000]
    other = whole[5][100:1300] + "\nwords that stand here alone\n" + whole[4][300:1900]
    return [
        *[text + FOOTER for text in whole[:8]],
        whole[0] + FOOTER,
        FOOTER,
        part,
        "la " * 400,
        "中文字" * 40 + "。\n" + "中文字" * 30,
        *whole[8:],
        other,
    ]


@pytest.fixture
def context_of(tmp_path):
    def make(texts, name="in", **dedup):
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(json_lines(texts))
        settings = Settings(
            corpus="web",
            warehouse=str(tmp_path / "wh"),
            inputs=[{"path": str(file), "source": "s"}],
            dedup=dedup,
            tokenize=TRAIN,
        )
        return sequential_context(settings)

    return make


def survivors(context):
    removed = {row["doc_id"] for row in rows_of(context, "clusters") if not row["kept"]}
    return {
        row["doc_id"]: row["text"]
        for row in rows_of(context, "documents")
        if row["doc_id"] not in removed
    }


def cut_text(context):
    """Survivors without the ranges in the table, where a word is left."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for row in rows_of(context, "cuts"):
        ranges.setdefault(row["doc_id"], []).append((row["start"], row["end"]))
    left = {
        doc_id: without_bytes(text, ranges.get(doc_id, []))
        for doc_id, text in survivors(context).items()
    }
    return {d: text for d, text in left.items() if d not in ranges or words_of(text)}


@pytest.mark.parametrize(("grain", "split"), [("line", lines_of), ("paragraph", paragraphs_of)])
def test_cuts_units_are_those_of_the_oracle(context_of, texts, grain, split):
    context = context_of(texts, passages=grain, passage_words=4)
    run_shard(context)
    report = run_dedup(context)

    kept = survivors(context)
    names = list(kept)
    expected = [
        (names[doc], start, end, names[first], at)
        for doc, start, end, first, at in repeated_units([split(t) for t in kept.values()], 4)
    ]
    rows = rows_of(context, "cuts")
    assert [tuple(v for k, v in row.items() if k != "grain") for row in rows] == expected
    assert len(kept) < len(texts)
    assert len(expected) > 8
    assert {row["grain"] for row in rows} == {grain}
    details = report.details.passages[grain]
    assert details.cut == len(rows)
    assert details.bytes_cut == sum(row["end"] - row["start"] for row in rows)
    assert details.compared > details.cut


@pytest.mark.parametrize("width", [8, 21])
def test_cuts_runs_cover_the_words_of_the_oracle(context_of, texts, width):
    context = context_of(texts, substring_words=width)
    run_shard(context)
    report = run_dedup(context)

    kept = survivors(context)
    gone = {d: np.zeros(len(text.encode()), bool) for d, text in kept.items()}
    for row in rows_of(context, "cuts"):
        gone[row["doc_id"]][row["start"] : row["end"]] = True
    marks = repeated_words(list(kept.values()), width)
    for (doc_id, text), mark in zip(kept.items(), marks, strict=True):
        cut = [bool(gone[doc_id][word.start : word.end].all()) for word in words_of(text)]
        touched = [bool(gone[doc_id][word.start : word.end].any()) for word in words_of(text)]
        assert cut == touched == mark.tolist()
    assert sum(mark.any() for mark in marks) >= 4
    details = report.details.passages["substring"]
    assert details.bytes_cut == sum(int(each.sum()) for each in gone.values())


def test_cuts_runs_each_has_the_words_of_its_first_before_it(context_of, texts):
    context = context_of(texts, substring_words=10)
    run_shard(context)
    run_dedup(context)

    kept, rows = survivors(context), rows_of(context, "cuts")
    for row in rows:
        data = kept[row["doc_id"]].encode()[row["start"] : row["end"]]
        words = [word.text for word in words_of(data.decode())]
        first = kept[row["first_id"]].encode()[row["first_start"] :].decode()
        assert len(words) >= 10
        assert [word.text for word in words_of(first)[: len(words)]] == words
        assert (row["first_id"], row["first_start"]) < (row["doc_id"], row["start"])
    # A document of one word is cut into few rows, however often it repeats itself.
    (same,) = (d for d, text in kept.items() if text.startswith("la la"))
    assert sum(row["doc_id"] == same for row in rows) <= 400 // 9 + 1


def test_run_clean_tokens_and_export_have_the_cut_text(context_of, texts):
    context = context_of(texts, passages="line", passage_words=4, substring_words=15)
    run_shard(context)
    dedup = run_dedup(context)
    tokens = run_tokenize(context)

    expected = cut_text(context)
    emptied = dedup.rows_out - len(expected)
    assert emptied == tokens.removed["all_repeated"] == 1
    clean = rows_of(context, "clean")
    assert {row["doc_id"]: row["text"] for row in clean} == expected
    assert all(row["n_bytes"] == len(row["text"].encode()) for row in clean)
    assert [row["doc_id"] for row in rows_of(context, "tokens")] == list(expected)
    assert exported(context, "documents") == clean
    whole = sum(len(text.encode()) for text in survivors(context).values())
    left = sum(len(text.encode()) for text in expected.values())
    assert tokens.details.bytes_cut == whole - left - len(_emptied_rest(context))
    assert {row["text"] for row in rows_of(context, "documents")} == set(texts)


def _emptied_rest(context):
    """What is left of documents that are left out: white space and punctuation."""
    cut = {row["doc_id"] for row in rows_of(context, "cuts")}
    rest = cut - cut_text(context).keys()
    ranges = [row for row in rows_of(context, "cuts") if row["doc_id"] in rest]
    return "".join(
        without_bytes(text, [(r["start"], r["end"]) for r in ranges if r["doc_id"] == doc_id])
        for doc_id, text in survivors(context).items()
        if doc_id in rest
    )


def test_run_again_skipped_and_other_settings_only_cut_again(context_of, texts):
    first = context_of(texts, passages="line")
    run_shard(first)
    run_dedup(first)
    ledger = first.corpus.table("clusters").snapshots()

    assert run_dedup(context_of(texts, passages="line")).status is StageStatus.SKIPPED
    other = context_of(texts, passages="line", passage_words=3)
    report = run_dedup(other)

    assert report.status is StageStatus.DONE
    assert report.rows_in == len(texts)
    assert report.rows_out == len(survivors(other))
    assert other.corpus.table("clusters").snapshots() == ledger


def test_run_switched_off_table_is_empty_and_texts_are_whole(context_of, texts):
    on = context_of(texts, passages="line", passage_words=3)
    for stage in (run_shard, run_dedup, run_tokenize):
        stage(on)
    assert rows_of(on, "cuts")

    off = context_of(texts)
    for stage in (run_dedup, run_tokenize):
        stage(off)

    assert rows_of(off, "cuts") == []
    assert {row["doc_id"]: row["text"] for row in rows_of(off, "clean")} == survivors(off)


def test_run_never_on_no_table(context_of, texts):
    context = context_of(texts)
    for stage in (run_shard, run_dedup, run_tokenize):
        stage(context)

    assert "cuts" not in context.corpus.existing_tables()


def test_tokenize_without_the_cuts_of_its_settings_refused(context_of, texts):
    context = context_of(texts)
    run_shard(context)
    run_dedup(context)

    with pytest.raises(ConflictError, match="`cuts` does not belong"):
        run_tokenize(context_of(texts, passages="line"))


def test_export_cuts_of_other_documents_refused(context_of, texts, tmp_path):
    context = context_of(texts, passages="line", passage_words=3)
    run_shard(context)
    run_dedup(context)
    more = context_of([*texts, "one more document"], passages="line", passage_words=3)
    rebuild = {"shard": {"changed_inputs": "rebuild"}}
    rebuilt = sequential_context(Settings(**{**more.settings.model_dump(), **rebuild}))
    run_shard(rebuilt)

    with pytest.raises(ConflictError, match="does not belong to the present `documents`"):
        exported(rebuilt, "documents")


def test_cuts_no_documents_no_rows(context_of):
    context = context_of([], passages="paragraph", substring_words=8)
    run_shard(context)
    report = run_dedup(context)

    assert rows_of(context, "cuts") == []
    assert report.status is StageStatus.DONE
