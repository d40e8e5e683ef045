import random

import pytest

from strata.pipelines.explain.text_diff import (
    CONTEXT,
    MAX_GAPS,
    MAX_SHOWN,
    Run,
    RunKind,
    text_diff,
)
from tests.support.corpora.texts import library_texts

TEXTS = library_texts(6, most_bytes=9000)
SAME, REMOVED, ADDED = RunKind.SAME, RunKind.REMOVED, RunKind.ADDED


def sides(hunk):
    """How the place of a hunk reads before and after."""
    old = "".join(run.text for run in hunk.runs if run.kind is not ADDED)
    new = "".join(run.text for run in hunk.runs if run.kind is not REMOVED)
    return old, new


@pytest.mark.parametrize("seed", range(40))
def test_diff_hunks_are_pieces_of_both_texts(seed):
    rng = random.Random(seed)
    old = rng.choice(TEXTS).split(" ")
    new = list(old)
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(new))
        new[at : at + rng.randint(0, 3)] = rng.choices(["ein", "zwei\n", "", "漢字"], k=2)
    old, new = " ".join(old), " ".join(new)
    found = text_diff(old, new)
    at = 0
    for hunk in found.hunks:
        before, after = sides(hunk)
        assert before in old
        assert after in new
        assert old.find(before, at) <= hunk.at <= old.find(before, at) + CONTEXT
        at = hunk.at
    if found.shown == found.differences:
        for hunk in reversed(found.hunks):
            before, after = sides(hunk)
            start = old.rfind(before, 0, hunk.at + len(before))
            old = old[:start] + after + old[start + len(before) :]
        assert old == new


def test_diff_of_a_changed_word_shows_it_between_whole_words():
    old = " ".join(f"word{n}" for n in range(100))
    found = text_diff(old, old.replace("word50", "other"))
    (hunk,) = found.hunks
    assert [run.kind for run in hunk.runs] == [SAME, REMOVED, ADDED, SAME]
    assert [run.text for run in hunk.runs][1:3] == ["word50", "other"]
    first, last = hunk.runs[0].text, hunk.runs[-1].text
    assert first.startswith("word4")
    assert first.endswith("word49 ")
    assert last.startswith(" word51")
    assert last.split()[-1] in old.split()
    assert hunk.at == old.index("word50")
    assert (found.differences, found.shown, found.complete) == (1, 1, True)
    assert found.common == pytest.approx(1 - len("word50") / len(old))


def test_diff_of_close_changes_is_one_hunk():
    old = " ".join(f"word{n}" for n in range(100))
    near = old.replace("word50", "x").replace("word56", "y")
    far = old.replace("word20", "x").replace("word80", "y")
    assert [len(text_diff(old, new).hunks) for new in (near, far)] == [1, 2]


def test_diff_of_a_rewritten_sentence_keeps_its_common_words():
    runs = text_diff("The cat sat on the table.", "The cats lay under the table.").hunks[0].runs
    assert "".join(run.text for run in runs if run.kind is SAME).endswith("the table.")
    assert [run.text for run in runs if run.kind is REMOVED] == ["cat sat on"]
    assert [run.text for run in runs if run.kind is ADDED] == ["cats lay under"]


def test_diff_of_equal_texts_is_empty():
    found = text_diff(TEXTS[0], TEXTS[0][:])
    assert (found.hunks, found.differences, found.common) == ((), 0, 1.0)
    assert text_diff("", "").hunks == ()


def test_diff_with_an_empty_text_shows_the_other():
    assert text_diff("", "new").hunks[0].runs == (Run(ADDED, "new"),)
    assert text_diff("old", "").hunks[0].runs == (Run(REMOVED, "old"),)
    assert text_diff("old", "").common == 0


@pytest.mark.parametrize("unit", ["a", "ab ", "x, ", "漢", "\n"])
def test_diff_is_of_bounded_size(unit):
    old = unit * (3_000_000 // len(unit))
    new = old[: len(old) // 2] + "!" + old[len(old) // 2 + 7 :].replace(unit * 3, unit * 2 + "?")
    found = text_diff(old, new)
    told = [run for hunk in found.hunks for run in hunk.runs]
    assert sum(len(run.text) for run in told) <= MAX_GAPS * (2 * MAX_SHOWN + 4 * CONTEXT) * 4
    assert all(run.omitted == 0 or len(run.text) == MAX_SHOWN for run in told)
    assert found.shown == min(MAX_GAPS, found.differences)


def test_diff_of_a_long_run_tells_what_it_leaves_out():
    found = text_diff("head " + "x" * 5000 + " tail", "head  tail")
    (run,) = [run for run in found.hunks[0].runs if run.kind is REMOVED]
    assert run == Run(REMOVED, "x" * MAX_SHOWN, 5000 - MAX_SHOWN)
