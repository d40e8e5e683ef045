import random

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.minhash import estimate, sketch
from tests.support.oracles.shingles import BASE, M, mix, shingles_of

TEXTS = [
    "",
    " .,!\n",
    "one",
    "One two, THREE four",
    "one two three four five",
    "The quick brown fox jumps over the lazy dog; the quick brown fox jumps again.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка İstanbul İİ x",
    "吾輩は猫である。名前はまだ無い。Tokyo東京2024 カタカナ コーヒー 한국어 문장",
    "naïve café a\u0301b ﬀ Ⅷ ² ¼ \U0001f600 \U00020000x\U00020001 \U0001d4b3\U0001d4b4",
    f"{'x' * 63} {'x' * 64} {'x' * 65} {'x' * 200} {'y' * 64}",
    "ab " * 5000,
    "中" * 3000 + "é" * 3000,
]


def naive(text, ngram):
    """Fast Similarity Sketching, as the paper has it."""
    shingles, bins, number = [each | 1 for each in shingles_of(text, ngram)], {}, 0
    while shingles and len(bins) < 256:
        for shingle in set(shingles):
            x = mix((shingle + number * BASE) & M) if number else shingle
            slot = x >> 56 if number < 256 else number - 256
            value = (number, (x >> 1) & (2**55 - 1))
            bins[slot] = min(bins.get(slot, value), value)
        number += 1
    signature = [bins[slot][1] & 255 for slot in range(256)] if bins else [0] * 256
    return np.array(signature, np.uint8), len(shingles)


def texts(*values):
    return pa.array(values, pa.large_string())


@pytest.mark.parametrize("ngram", [1, 2, 5, 13])
def test_sketch_of_many_scripts_equals_naive_oracle(ngram):
    result = sketch(texts(*TEXTS), ngram)
    for i, text in enumerate(TEXTS):
        signature, count = naive(text, ngram)
        assert result.n_shingles[i] == count
        assert np.array_equal(result.signature[i], signature), text[:40]


def test_sketch_of_random_unicode_equals_naive_oracle():
    rng = random.Random(7)
    alphabet = "aZ_9 .\n\u00e9\u0416\u3042\u30ab\u4e2d\uac00\u0130\U0001f600\U00020000\u0301"
    samples = ["".join(rng.choices(alphabet, k=rng.randrange(6000))) for _ in range(12)]
    result = sketch(texts(*samples), 3)
    for i, text in enumerate(samples):
        assert np.array_equal(result.signature[i], naive(text, 3)[0])


def test_sketch_of_dense_document_equals_naive_oracle():
    text = " ".join(map(str, range(20_000)))
    result = sketch(texts(text), 5)
    assert np.array_equal(result.signature[0], naive(text, 5)[0])
    assert result.n_shingles[0] == 19_996


def test_sketch_of_repeated_text_equals_that_of_its_set_of_shingles():
    line = "all work and no play makes jack a dull boy "
    result = sketch(texts(line * 3, line * 100_000), 5)
    assert np.array_equal(result.signature[0], result.signature[1])


def test_sketch_of_many_shingles_that_leave_a_bin_empty_equals_naive_oracle():
    # all of them are needed in the second round, far more than the pool holds at first
    numbers = [str(i) for i in range(12_000) if shingles_of(str(i), 1)[0] >> 56]
    text = " ".join(numbers)
    assert np.array_equal(sketch(texts(text), 1).signature[0], naive(text, 1)[0])


def test_sketch_of_sliced_array_equals_that_of_the_whole():
    whole = texts(*TEXTS)
    part = sketch(whole.slice(3, 5), 5)
    assert np.array_equal(part.signature, sketch(whole, 5).signature[3:8])


def test_sketch_of_no_documents_is_empty():
    result = sketch(texts(), 5)
    assert result.signature.shape == (0, 256)
    assert result.n_shingles.shape == (0,)


def test_sketch_without_words_is_all_zero():
    result = sketch(texts("... \n", None, ""), 5)
    assert not result.signature.any()
    assert result.n_shingles.tolist() == [0, 0, 0]


def test_sketch_ignores_case_and_punctuation_but_not_order():
    result = sketch(texts("A b, c d e f!", "a B c\nd e F", "b a c d e f"), 5)
    assert np.array_equal(result.signature[0], result.signature[1])
    assert not np.array_equal(result.signature[0], result.signature[2])


@pytest.mark.parametrize("shared", [0, 30, 120, 800, 6000])
def test_estimate_of_overlapping_documents_is_close_to_jaccard(shared):
    def words(prefix, count):
        return [f"{prefix}{i}" for i in range(count)]

    pairs = 40
    own = max(10, shared // 4)
    jaccard = shared / (shared + 2 * own)
    a, b = (
        sketch(
            texts(
                *(
                    " ".join(words(f"s{k}x", shared) + words(f"{side}{k}x", own))
                    for k in range(pairs)
                )
            ),
            1,
        ).signature
        for side in "ab"
    )
    similarity = estimate(a, b)
    assert similarity.dtype == np.float32
    assert abs(similarity.mean() - jaccard) < 0.02
    assert np.abs(similarity - jaccard).max() < 0.16


def test_estimate_of_equal_signatures_is_one():
    signature = sketch(texts("some words that are hardly enough"), 2).signature
    assert estimate(signature, signature).tolist() == [1.0]
