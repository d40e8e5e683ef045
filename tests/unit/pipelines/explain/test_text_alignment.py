import random

import pytest

from strata.pipelines.explain.text_diff import PROBE, align

PROSE = random.Random(5)
VOCABULARY = ["".join(PROSE.choices("abcdefghijklmnop", k=PROSE.randint(2, 9))) for _ in range(400)]


def words(number, seed):
    return random.Random(seed).choices(VOCABULARY, k=number)


def check(old, new):
    """The gaps are in order, do not overlap, and between them the texts agree."""
    found = align(old, new)
    i = j = common = 0
    for gap in found.gaps:
        assert i <= gap.old_start <= gap.old_end
        assert j <= gap.new_start <= gap.new_end
        assert old[i : gap.old_start] == new[j : gap.new_start]
        assert old[gap.old_start : gap.old_end] != new[gap.new_start : gap.new_end]
        common += gap.old_start - i
        i, j = gap.old_end, gap.new_end
    assert old[i:] == new[j:]
    assert found.common == common + len(old) - i
    return found


@pytest.mark.parametrize("seed", range(60))
def test_align_small_random_texts_gaps_are_all_that_differs(seed):
    rng = random.Random(seed)
    alphabet = rng.choice(["ab", "ab ", "aé漢😀 ", "abcdefgh  \n"])
    old, new = ("".join(rng.choices(alphabet, k=rng.randint(0, 300))) for _ in range(2))
    check(old, new)
    cut = rng.randint(0, len(old))
    assert len(check(old, old[:cut] + new + old[cut:]).gaps) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_align_separate_edits_are_one_gap_each(seed):
    rng = random.Random(seed)
    old = words(4000, seed)
    new, edits = list(old), range(50, 3900, rng.randint(60, 700))
    for at in reversed(edits):
        kind = rng.choice(["replace", "insert", "delete"])
        new[at : at + (kind != "insert")] = [] if kind == "delete" else [f"CHANGED{at}"]
    found = check(" ".join(old), " ".join(new))
    assert len(found.gaps) == len(edits)
    assert all(gap.old_end - gap.old_start < PROBE for gap in found.gaps)
    assert found.complete


@pytest.mark.parametrize("size", [30, 3_000, 60_000, 1_500_000])
@pytest.mark.parametrize("side", ["old", "new", "both"])
def test_align_long_difference_ends_where_the_texts_agree_again(size, side):
    start, middle, end = " ".join(words(900, 1)), " ".join(words(2000, 2)), " ".join(words(900, 3))
    one, other = "X" * size, "Y" * (size // 2)
    long = {"old": (one, ""), "new": ("", one), "both": (one, other)}[side]
    # Two differences, or the common head and tail of the texts would find the place alone.
    old, new = (f"{start} {text} {middle} {last} {end}" for text, last in zip(long, "ab", strict=1))
    found = check(old, new)
    assert len(found.gaps) == 2
    assert found.complete
    first = found.gaps[0]
    assert first.old_end - first.old_start <= len(long[0]) + 1
    assert first.new_end - first.new_start <= len(long[1]) + 1


def test_align_difference_inside_a_word_takes_the_whole_word():
    old = "before it says international, and goes on behind it for a while"
    new = old.replace("international", "internal")
    (gap,) = check(old, new).gaps
    assert old[gap.old_start : gap.old_end] == "international"
    assert new[gap.new_start : gap.new_end] == "internal"


def test_align_ideographs_are_words_of_their_own():
    old = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
    (gap,) = check(old, old.replace("洪", "大")).gaps
    assert old[gap.old_start : gap.old_end] == "洪"


def test_align_equal_texts_have_no_gap():
    text = " ".join(words(50_000, 4))
    assert check(text, text[:]).gaps == ()
    assert check("", "").gaps == ()


def test_align_of_different_texts_is_one_gap_and_says_what_was_searched():
    old, new = " ".join(words(300, 1)), "".join(words(300, 2))
    assert len(check(old, new).gaps) == 1
    assert check(old, new).complete
    huge = align("x" * 5_000_000 + "a", "y" * 5_000_000 + "b")
    assert len(huge.gaps) == 1
    assert not huge.complete


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a" * 300_000 + "b", "ab" * 150_000),
        ("ab" * 150_000, "ba" * 150_000),
        (("a" * 31 + "b") * 20_000, ("a" * 30 + "b") * 20_000),
        (" " * 400_000, " " * 300_000 + "x" * 90_000),
    ],
)
def test_align_repetitive_texts_come_to_an_end(old, new):
    check(old, new)
