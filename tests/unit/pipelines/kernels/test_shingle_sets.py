"""Sets of shingles are those of a naive oracle, and so are similarities."""

import random

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.shingle_sets import jaccard, shingle_sets
from tests.support.oracles.shingles import jaccard_of, shingles_of

TEXTS = [
    "",
    " .,!\n",
    "one",
    "One two, THREE four",
    "one two three four five",
    "The quick brown fox jumps over the lazy dog; the quick brown fox jumps again.",
    "a\u4e2db \u0130\u0130\u0130 \u4e2d\u4e2d\u4e2d a b c d e f g",
    "\u543e\u8f29\u306f\u732b\u3067\u3042\u308b\u3002 Tokyo\u6771\u4eac2024 \u30ab\u30bf",
    "ab " * 5000,
    "\u4e2d" * 3000 + "\u00e9" * 3000,
    " ".join(map(str, range(5000))),
]


def texts(*values):
    return pa.array(values, pa.large_string())


@pytest.mark.parametrize("ngram", [1, 2, 5, 13])
def test_shingle_sets_of_many_scripts_equal_naive_oracle(ngram):
    sets = shingle_sets(texts(*TEXTS), ngram)

    assert len(sets.offsets) == len(TEXTS) + 1
    for i, text in enumerate(TEXTS):
        found = sets.hashes[sets.offsets[i] : sets.offsets[i + 1]]
        assert found.tolist() == sorted({each | 1 for each in shingles_of(text, ngram)}), text[:40]


def test_shingle_sets_of_a_slice_are_those_of_its_texts():
    whole = texts(*TEXTS)
    sets, part = shingle_sets(whole, 5), shingle_sets(whole.slice(4, 3), 5)

    assert np.array_equal(part.hashes, sets.hashes[sets.offsets[4] : sets.offsets[7]])


def test_shingle_sets_of_no_text_empty():
    sets = shingle_sets(texts(), 5)
    assert sets.offsets.tolist() == [0]
    assert len(sets.hashes) == 0


def test_jaccard_of_random_pairs_equals_naive_oracle():
    rng = random.Random(3)
    base = [rng.choice("abcdefghij\u4e2d\u6587") for _ in range(300)]
    made = ["", "...", "word"]
    for changes in range(0, 60, 3):
        words = list(base)
        for _ in range(changes):
            words[rng.randrange(len(words))] = rng.choice("klmnop")
        made.append(" ".join(words[: rng.randrange(200, 300)]))
    left, right = np.divmod(np.arange(len(made) ** 2), len(made))

    found = jaccard(shingle_sets(texts(*made), 3), left, right)

    expected = [jaccard_of(made[a], made[b], 3) for a, b in zip(left, right, strict=True)]
    assert found.tolist() == expected
    assert 0.1 < np.median(found) < 0.9
