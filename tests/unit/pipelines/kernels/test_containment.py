import math
import random
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.containment import contained_items, item_index
from strata.pipelines.kernels.shingle_sets import shingle_sets
from tests.support.oracles.passages import words_of

VOCABULARY = ["a", "b", "c", "D", "e", "中", "国", "ひ", "é", "İx", "٣", "ﬀ", "𠀀"]


def texts(*values):
    return pa.array(values, pa.large_string())


def index_of(items, ngram, share):
    found = shingle_sets(texts(*items), ngram)
    order = np.argsort(found.hashes, kind="stable")
    counts = np.diff(found.offsets)
    needed = [max(1, math.ceil(share * count)) for count in counts.tolist()]
    return item_index(
        found.hashes[order],
        np.repeat(np.arange(len(items), dtype=np.int32), counts)[order],
        np.array([min(ngram, len(words_of(item))) for item in items], np.int32),
        np.array(needed, np.int32),
    )


@cache
def runs(text, length):
    words = [word.text for word in words_of(text)]
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def naive(documents, items, ngram, share):
    lengths = [min(ngram, len(words_of(item))) for item in items]
    found = []
    for i, document in enumerate(documents):
        for j, item in enumerate(items):
            grams = runs(item, lengths[j]) if lengths[j] else set()
            matched = len(grams & runs(document, lengths[j]))
            if grams and matched >= max(1, math.ceil(share * len(grams))):
                found.append((i, j, matched))
    return found


def found_in(documents, items, ngram, share):
    matches = contained_items(texts(*documents), index_of(items, ngram, share))
    columns = (matches.text, matches.item, matches.matched)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("ngram", [1, 2, 3, 5, 8, 13])
def test_contained_items_of_random_texts_equal_naive_oracle(ngram, share):
    rng = random.Random(ngram)
    documents = [" ".join(rng.choices(VOCABULARY, k=rng.randrange(90))) for _ in range(30)]
    items = [" ".join(rng.choices(VOCABULARY, k=rng.randrange(1, 16))) for _ in range(60)]
    for _ in range(30):
        words = rng.choice(documents).split()
        start = rng.randrange(max(1, len(words)))
        items.append(" ".join(words[start : start + rng.randrange(1, 30)]))
    expected = naive(documents, items, ngram, share)

    assert found_in(documents, items, ngram, share) == expected
    assert expected


def test_contained_items_across_blocks_of_text_equal_naive_oracle():
    words = [f"w{i % 3001}" for i in range(9000)]
    document = " ".join(words) + "中" * 4000 + "x" * 5000 + " tail of the text"
    items = [" ".join(words[at : at + 40]) for at in range(0, 3000, 17)]
    items += ["x" * 5000 + " tail of", "中" * 9, "tail of the text", "text tail"]

    assert found_in([document, "", document[:9000]], items, 13, 0.9) == naive(
        [document, "", document[:9000]], items, 13, 0.9
    )


def test_contained_items_shorter_than_the_ngram_match_as_a_run_only():
    documents = ["the cat sat", "cat the sat", "The CAT, and the dog", "cat"]

    assert found_in(documents, ["the cat", "... !"], 8, 0.5) == [(0, 0, 1), (2, 0, 1)]


def test_contained_items_counts_an_ngram_once_a_document():
    assert found_in(["a b a b a b", "a b c d"], ["a b c d e f"], 2, 0.3) == [(1, 0, 3)]


def test_contained_items_shared_ngram_counts_for_every_item():
    items = ["q which of these is right x", "q which of these is right y", "something else it is"]

    assert [(i, j) for i, j, _ in found_in(["Q: which of these is right?"], items, 3, 0.5)] == [
        (0, 0),
        (0, 1),
    ]


def test_contained_items_tell_the_longest_run_of_matches():
    item = "one two three four five six seven eight"
    document = f"two three four, then: {item.upper()}! one two three"
    matches = contained_items(texts("nothing", document), index_of([item], 3, 0.5))

    assert (matches.text.tolist(), matches.matched.tolist()) == ([1], [6])
    words = [word.text for word in words_of(document)]
    run = words[matches.first[0] : matches.last[0] + 1]
    assert run == ["three", "four", "five", "six", "seven", "eight"]


def test_contained_items_of_slice_and_of_nulls():
    matches = contained_items(texts("a b", None, "a b").slice(1), index_of(["a b"], 2, 1.0))

    assert matches.text.tolist() == [1]


def test_contained_items_without_items_or_texts_are_none():
    assert found_in(["a b c"], [], 3, 0.5) == []
    assert found_in([], ["a b c"], 3, 0.5) == []


def test_contained_items_more_than_the_first_room_for_rows_all_found():
    items = [f"item number {i} of many" for i in range(500)]

    assert len(found_in([" ".join(items)] * 3, items, 4, 1.0)) == 1500
