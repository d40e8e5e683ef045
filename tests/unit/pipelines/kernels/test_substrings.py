import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.hashing import multiply61, reduce61
from strata.pipelines.kernels.substrings import find_anchors, find_runs
from tests.support.oracles.passages import words_of

PRIME = 2**61 - 1


def strings(values):
    return pa.array(values, pa.large_string())


def random_texts(seed, count=25, vocabulary=6):
    rng = np.random.default_rng(seed)
    words = ["a", "b", "Éa", "x_1", "中", "한국", "İ"][:vocabulary]
    ends = [" ", " ", ", ", "\n", ".) "]
    return [
        "".join(rng.choice(words) + rng.choice(ends) for _ in range(rng.integers(0, 70)))
        for _ in range(count)
    ]


ADVERSARIAL = ["", "...", "a " * 300, "a b " * 150, "a b c " * 60 + "a", "中" * 200, "İ" * 90, "a"]


def words(text):
    return [word.text for word in words_of(text)]


def run_of(text, first, width):
    """Bytes of a run: to white space, or to the next word, or to the end."""
    places, data = words_of(text), text.encode()
    end = places[first + width - 1].end
    limit = places[first + width].start if first + width < len(places) else len(data)
    while end < limit and data[end] > 32:
        end += 1
    return places[first].start, end


@pytest.mark.parametrize("seed", range(200))
def test_field_multiply_and_reduce_equal_python(seed):
    rng = np.random.default_rng(seed)
    a, b = (int(value) for value in rng.integers(0, PRIME, 2, np.uint64))
    for x, y in ((a, b), (PRIME - 1, PRIME - 1), (a, 0), (PRIME - 1, b)):
        assert int(multiply61(np.uint64(x), np.uint64(y))) == x * y % PRIME
    for x in (a * 7 % 2**64, PRIME, 2 * PRIME, 2**64 - 1):
        assert int(reduce61(np.uint64(x))) == x % PRIME


@pytest.mark.parametrize("width", [8, 9, 13])
@pytest.mark.parametrize("texts", [random_texts(1), random_texts(2), ADVERSARIAL])
def test_anchors_every_run_has_one_and_equal_runs_have_it_at_the_same_place(texts, width):
    anchors = find_anchors(strings(texts), width)
    places = [set(anchors.place[anchors.text == i].tolist()) for i in range(len(texts))]

    gram = width // 2
    spread = width - gram + 1
    inside = {}
    for number, text in enumerate(texts):
        for at in range(len(words(text)) - width + 1):
            chosen = sorted(places[number] & set(range(at, at + spread)))
            assert chosen
            found = {place - at for place in chosen}
            # The anchor of a run is one of those inside, and the same for all of its repetitions.
            run = tuple(words(text)[at : at + width])
            inside[run] = inside.get(run, found) & found
    assert all(inside.values())
    assert inside


@pytest.mark.parametrize("width", [8, 13])
@pytest.mark.parametrize("texts", [random_texts(3), ADVERSARIAL])
def test_anchors_key_and_check_name_their_words(texts, width):
    anchors = find_anchors(strings(texts), width)

    named = {}
    for key, check, text, place, start, stop in zip(
        *[getattr(anchors, name).tolist() for name in type(anchors).__dataclass_fields__],
        strict=True,
    ):
        gram = tuple(words(texts[text])[place : place + width // 2])
        assert named.setdefault((key, check), gram) == gram
        assert (start, stop) == run_of(texts[text], place, width // 2)
    assert len(named) == len(set(named.values()))


def test_anchors_are_few_in_text_without_repetition():
    rng = np.random.default_rng(5)
    text = " ".join(f"w{number}" for number in rng.permutation(20_000))

    anchors = find_anchors(strings([text]), 50)

    # Two of spread + 1 grams (Schleimer, Wilkerson, Aiken, section 3.1).
    assert 0.9 * 2 / 28 < len(anchors) / 20_000 < 1.1 * 2 / 28


@pytest.mark.parametrize("width", [8, 13])
@pytest.mark.parametrize("texts", [random_texts(4), random_texts(5, vocabulary=3), ADVERSARIAL])
def test_runs_at_all_anchors_are_all_runs_with_their_bytes(texts, width):
    anchors = find_anchors(strings(texts), width)
    bounds = np.searchsorted(anchors.text, np.arange(len(texts) + 1))

    runs = find_runs(strings(texts), width, bounds, anchors.place.astype(np.int64))

    rows = list(zip(runs.text.tolist(), runs.place.tolist(), strict=True))
    assert rows == [
        (number, at)
        for number, text in enumerate(texts)
        for at in range(len(words(text)) - width + 1)
    ]
    named = {}
    for row, key, check, start, stop in zip(
        rows,
        runs.key.tolist(),
        runs.check.tolist(),
        runs.start.tolist(),
        runs.stop.tolist(),
        strict=True,
    ):
        run = tuple(words(texts[row[0]])[row[1] : row[1] + width])
        assert named.setdefault((key, check), run) == run
        assert (start, stop) == run_of(texts[row[0]], row[1], width)
    assert len(named) == len(set(named.values()))


def test_runs_only_at_the_given_anchors():
    texts = random_texts(6, vocabulary=7)
    anchors = find_anchors(strings(texts), 8)
    some = np.arange(len(anchors)) % 3 == 0
    bounds = np.searchsorted(anchors.text[some], np.arange(len(texts) + 1))

    runs = find_runs(strings(texts), 8, bounds, anchors.place[some].astype(np.int64))

    given = set(zip(anchors.text[some].tolist(), anchors.place[some].tolist(), strict=True))
    rows = set(zip(runs.text.tolist(), runs.place.tolist(), strict=True))
    everything = {(i, at) for i, text in enumerate(texts) for at in range(len(words(text)) - 7)}
    assert 0 < len(rows) < len(everything)
    # An anchor is among the first grams of its runs.
    assert all(any((text, at + step) in given for step in range(5)) for text, at in rows)
    alone = {(text, at) for text, at in given if at + 8 <= len(words(texts[text]))}
    assert len(rows) >= len(alone)


def test_runs_of_a_thue_morse_sequence_do_not_collide():
    bits = [bin(number).count("1") & 1 for number in range(4096)]
    one = " ".join("ab"[bit] for bit in bits)
    other = " ".join("ba"[bit] for bit in bits)

    anchors = find_anchors(strings([one, other]), 4096)
    bounds = np.searchsorted(anchors.text, np.arange(3))
    runs = find_runs(strings([one, other]), 4096, bounds, anchors.place.astype(np.int64))

    assert len(set(runs.key.tolist())) == 2
