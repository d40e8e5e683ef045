import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.kernels.passages import find_passages
from strata.settings import Passage
from tests.support.oracles.passages import lines_of, paragraphs_of, words_of

TEXTS = [
    "",
    "\n\n \n",
    "one",
    "\n  \nOne two, THREE\nfour\n\n\nfive six\n \t\r\nseven\n",
    "no line feed\r\nat the end",
    "吾輩は猫である。\n名前はまだ無い。\n\nİstanbul İİ x\n한국어 문장 \U0001f600 \U00020000x\n",
    "-----\n" * 3 + "after rules\n\n----\nlast",
    "word " * 5000 + "\n" + "中" * 3000,
    "a\u00a0b\n\u3000\nc d\n",
]
SPLIT = {Passage.LINE: lines_of, Passage.PARAGRAPH: paragraphs_of}


def strings(values):
    return pa.array(values, pa.large_string())


def expected(texts, grain, least):
    """Text, number, bytes and words of the passages with so many words."""
    for number, text in enumerate(texts):
        at = 0
        for place, part in enumerate(SPLIT[grain](text)):
            end = at + len(part.encode())
            words = tuple(word.text for word in words_of(part))
            if len(words) >= least:
                yield number, place, at, end, words
            at = end


def found(texts, grain, least):
    passages = find_passages(texts, grain, least)
    columns = (passages.text, passages.place, passages.start, passages.stop)
    return passages, list(zip(*[column.tolist() for column in columns], strict=True))


@pytest.mark.parametrize("grain", SPLIT)
@pytest.mark.parametrize("least", [1, 2, 4])
def test_passages_are_those_of_the_oracle(grain, least):
    _, places = found(strings(TEXTS), grain, least)

    assert places == [row[:4] for row in expected(TEXTS, grain, least)]
    assert len(places) > 4


@pytest.mark.parametrize("grain", SPLIT)
@pytest.mark.parametrize("seed", range(5))
def test_passages_random_same_key_where_same_words(grain, seed):
    rng = np.random.default_rng(seed)
    alphabet = ["a", "B", "b", " ", " ", "\n", "\n", ".", "中", "İ", "é", "É"]
    texts = ["".join(rng.choice(alphabet, rng.integers(0, 60))) for _ in range(60)]

    passages, places = found(strings(texts), grain, 1)

    rows = list(expected(texts, grain, 1))
    assert places == [row[:4] for row in rows]
    both = list(zip(passages.key.tolist(), passages.check.tolist(), strict=True))
    assert len(set(both)) == len({row[4] for row in rows})
    assert len({(*key, row[4]) for key, row in zip(both, rows, strict=True)}) == len(set(both))


def test_passages_case_space_and_punctuation_do_not_count_digits_do():
    texts = strings(["Page 1, of the BOOK\n", "page 1 (of the book).", "page 2 of the book\n"])
    one, same, other = find_passages(texts, Passage.LINE, 3).key.tolist()

    assert one == same != other


def test_passages_order_and_repetition_of_words_count():
    texts = strings(["a b c\n", "b a c\n", "a b c a b c\n", "ab c\n"])
    passages = find_passages(texts, Passage.LINE, 1)

    assert len(set(passages.key.tolist())) == 4


def test_passages_of_a_slice_are_those_of_its_texts():
    whole = strings(TEXTS)

    _, places = found(whole.slice(3, 3), Passage.LINE, 1)

    assert places == [row[:4] for row in expected(TEXTS[3:6], Passage.LINE, 1)]
