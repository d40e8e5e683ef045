import random

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.word_offsets import word_offsets
from tests.support.oracles.passages import words_of

ALPHABET = "aZ_9 .\né\u0416あカ中가İ\U0001f600\U00020000\u0301"


def texts(*values):
    return pa.array(values, pa.large_string())


@pytest.mark.parametrize("size", [5, 60, 6000])
def test_word_places_of_random_unicode_equal_naive_oracle(size):
    rng = random.Random(size)
    samples = ["".join(rng.choices(ALPHABET, k=rng.randrange(size))) for _ in range(9)]
    samples += ["x" * 5000 + " y", "ab " * 3000]
    naive = [words_of(text) for text in samples]
    asked = [(i, j) for i, words in enumerate(naive) for j in range(len(words))]
    rng.shuffle(asked)

    text, word = np.array(asked, np.int64).reshape(-1, 2).T
    found = word_offsets(texts(*samples), text, word)

    assert found.tolist() == [[naive[i][j].start, naive[i][j].end] for i, j in asked]


def test_word_places_in_slice_are_those_of_the_text():
    found = word_offsets(texts("aa bb", "cc dd ee").slice(1), np.array([0, 0]), np.array([2, 0]))

    assert found.tolist() == [[6, 8], [0, 2]]


def test_word_places_of_word_that_is_not_there_are_empty():
    found = word_offsets(texts("aa bb", ""), np.array([0, 1, 0]), np.array([2, 0, 1]))

    assert found.tolist() == [[0, 0], [0, 0], [3, 5]]
