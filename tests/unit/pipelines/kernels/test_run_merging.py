import numpy as np
import pytest

from strata.pipelines.kernels.run_merging import COLUMNS, RunMerger

DOC_ID, PLACE, START, END, FIRST_ID, FIRST_PLACE, FIRST_START = range(COLUMNS)


def runs_of(rows):
    """Runs of the places of each document; a place of a word is its first byte, times ten."""
    found = [
        (doc, place, 10 * place, 10 * (place + 4), first, at, 10 * at)
        for doc, place, first, at in rows
    ]
    return np.array(found, np.int64).reshape(len(found), COLUMNS)


def joined(runs, width, pieces=1):
    joiner = RunMerger(width)
    parts = [joiner.feed(part) for part in np.array_split(runs, pieces)]
    return np.concatenate([*parts, joiner.finish()])


def covered(rows, width=4):
    """Words that runs or cuts cover, by document."""
    return {
        (row[DOC_ID], word)
        for row in rows.tolist()
        for word in range(row[START] // 10, row[END] // 10)
    }


def test_join_runs_that_follow_their_first_are_one_cut():
    runs = runs_of([(7, place, 3, place + 20) for place in range(5, 12)])

    assert joined(runs, 4).tolist() == [[7, 5, 50, 150, 3, 25, 250]]


@pytest.mark.parametrize(
    "rows",
    [
        [(7, 5, 3, 5), (8, 6, 3, 6)],
        [(7, 5, 3, 5), (7, 7, 3, 7)],
    ],
)
def test_join_runs_of_other_documents_or_behind_a_gap_are_cuts_of_their_own(rows):
    assert joined(runs_of(rows), 4)[:, PLACE].tolist() == [row[1] for row in rows]


def test_join_another_first_next_cut_begins_as_late_as_it_can():
    first = [(7, place, 3, place) for place in range(6)]
    second = [(7, place, 4, place + 9) for place in range(6, 14)]

    cuts = joined(runs_of([*first, *second]), 4)

    assert cuts[:, PLACE].tolist() == [0, 8]
    assert cuts[:, FIRST_PLACE].tolist() == [0, 17]
    assert cuts[:, END].tolist() == [90, 170]


def test_join_one_word_again_and_again_few_cuts_without_a_gap():
    runs = runs_of([(7, place, 7, 0) for place in range(4, 1004)])

    cuts = joined(runs, 4)

    assert len(cuts) <= 1003 // 3 + 1
    assert covered(cuts) == covered(runs)


@pytest.mark.parametrize("seed", range(30))
def test_join_random_runs_cover_the_same_words_however_cut_into_batches(seed):
    rng = np.random.default_rng(seed)
    rows = [
        (doc, place, int(rng.integers(0, 2)), place + int(rng.integers(0, 3)))
        for doc in range(4)
        for place in range(60)
        if rng.random() < 0.9
    ]
    runs = runs_of(rows)

    cuts = joined(runs, 4)

    assert covered(cuts) == covered(runs)
    assert cuts.tolist() == joined(runs, 4, pieces=17).tolist()
    # Each cut repeats its first word by word: so it is made of runs that do.
    known = {tuple(row[[DOC_ID, PLACE, FIRST_ID, FIRST_PLACE]]) for row in runs}
    for cut in cuts.tolist():
        for step in range((cut[END] - cut[START]) // 10 - 3):
            at = (cut[DOC_ID], cut[PLACE] + step, cut[FIRST_ID], cut[FIRST_PLACE] + step)
            assert at in known


def test_join_nothing_nothing():
    assert joined(runs_of([]), 4).shape == (0, COLUMNS)
