import random
import string
import time

import pyarrow as pa
import pytest
from tokenizers import pre_tokenizers

from strata.pipelines.tokenization.long_pieces import LongPieces, cut_long_pieces
from strata.pipelines.tokenization.training import train_bpe

LIMITS = LongPieces(piece_bytes=8, kept_bytes=1_000)


def strings(*texts):
    return pa.array(texts, pa.large_string())


def pieces(texts):
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [piece for text in texts for piece, _ in split.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Ordinary words, it's 12345 numbers:\n\n    indented --- 漢字 é😀 e\u0301 \u0661\u0662",
        "",
        "aaaaaaaa",
        "aaaaaaa1aaaaaaa 1234567 -------",
    ],
)
def test_cutting_text_of_short_pieces_stays_as_it_is(text):
    texts = strings("first", text, "last")
    found = cut_long_pieces(texts, LIMITS)
    assert (found.texts, found.cut, found.left_out_bytes) == (texts, 0, 0)


@pytest.mark.parametrize("run", ["a", "-", "漢", "\n", "á", "7", " ", "😀", "e\u0301", "ab1c"])
@pytest.mark.parametrize("before", ["", "word ", "don't (1"])
def test_cutting_long_piece_is_cut_at_characters_and_nothing_else_changes(run, before):
    text = before + run * 30 + " after it's"
    found = cut_long_pieces(strings("x y", text, "z"), LIMITS)
    assert "".join(found.texts.to_pylist()) == "x y" + text + "z"
    assert found.left_out_bytes == 0
    cut = pieces(found.texts.to_pylist())
    # The blank before a word belongs to its piece.
    assert all(len(piece) <= LIMITS.piece_bytes + 1 for piece in cut)
    short = [piece for piece in pieces(["x y", text, "z"]) if len(piece) <= LIMITS.piece_bytes]
    assert set(short) <= set(cut)


def test_cutting_beyond_the_bound_is_thinned_evenly_and_counted():
    letters = "".join(random.Random(7).choices(string.ascii_lowercase, k=4_000))
    text = f"before {letters} after"
    found = cut_long_pieces(strings(text, "kept"), LIMITS)
    left = found.texts.to_pylist()
    assert found.cut == 1
    assert found.left_out_bytes == len(text) + 4 - sum(map(len, left)) == 3_000
    assert left[0] == "before "
    assert left[-2:] == [" after", "kept"]
    # Every fourth part of eight letters is there.
    assert left[1:-2] == [letters[start : start + 8] for start in range(0, 4_000, 32)]


def test_cutting_sliced_array_sees_only_its_part():
    texts = strings("b" * 50, "a" * 20, "tail")
    found = cut_long_pieces(texts.slice(1, 1), LIMITS)
    assert (found.cut, "".join(found.texts.to_pylist())) == (1, "a" * 20)


@pytest.mark.parametrize("run", ["a", "漢", "-", "\n", "abcdefghijklmnopqrstuvwxyz"])
def test_training_time_grows_no_faster_than_the_runs(run):
    def seconds(characters):
        texts = strings("some ordinary words", (run * characters)[:characters])
        began = time.process_time()
        train_bpe(cut_long_pieces(texts).texts, 300)
        return time.process_time() - began

    seconds(1_000)
    short, long = seconds(20_000), seconds(200_000)
    # Ten times the length; a quadratic trainer takes a hundred times as long.
    assert long < 30 * short + 0.5
