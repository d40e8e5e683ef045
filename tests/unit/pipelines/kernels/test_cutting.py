import numpy as np
import pyarrow as pa
import pytest

from strata.errors import BalanceError
from strata.pipelines.kernels.cutting import cut_texts
from tests.support.oracles.passages import without_bytes, words_of

TEXTS = ["", "one two three", "Été à\u3000中文。 \U0001f600!", "...", "İ x", "a\nb\nc\n"]


def strings(values):
    return pa.array(values, pa.large_string())


def cut(texts, ranges):
    """Texts without lists of ranges."""
    bounds = np.cumsum([0, *map(len, ranges)])
    flat = np.array([each for some in ranges for each in some], np.int64).reshape(-1, 2)
    starts, ends = np.ascontiguousarray(flat[:, 0]), np.ascontiguousarray(flat[:, 1])
    return cut_texts(texts, bounds, starts, ends)


def random_ranges(rng, text):
    places = np.cumsum([0, *[len(char.encode()) for char in text]])
    pairs = [sorted(rng.choice(places, 2).tolist()) for _ in range(rng.integers(0, 5))]
    return sorted(map(tuple, pairs))


@pytest.mark.parametrize("seed", range(50))
def test_cut_random_ranges_equal_the_oracle(seed):
    rng = np.random.default_rng(seed)
    texts = [TEXTS[i] for i in rng.integers(0, len(TEXTS), 20)]
    ranges = [random_ranges(rng, text) for text in texts]

    left = cut(strings(texts), ranges)

    left.text.validate(full=True)
    assert left.text.to_pylist() == [
        without_bytes(text, some) for text, some in zip(texts, ranges, strict=True)
    ]
    assert left.has_words.tolist() == [bool(words_of(text)) for text in left.text.to_pylist()]


def test_cut_everything_leaves_an_empty_text_without_words():
    left = cut(strings(["one two"]), [[(0, 7)]])

    assert left.text.to_pylist() == [""]
    assert left.has_words.tolist() == [False]


def test_cut_slice_of_an_array_its_own_texts():
    left = cut(strings(TEXTS).slice(1, 2), [[(0, 4)], [(0, 3), (2, 8)]])

    assert left.text.to_pylist() == ["two three", without_bytes(TEXTS[2], [(0, 8)])]


@pytest.mark.parametrize("wrong", [(-1, 2), (5, 4), (0, 14), (20, 21)])
def test_cut_outside_of_the_text_refused(wrong):
    with pytest.raises(BalanceError, match="does not fit its text"):
        cut(strings(["one two three"]), [[wrong]])


@pytest.mark.parametrize("wrong", [(0, 1), (1, 2)])
def test_cut_inside_of_a_character_refused(wrong):
    with pytest.raises(BalanceError, match="does not fit its text"):
        cut(strings(["é."]), [[wrong]])
