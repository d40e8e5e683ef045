import base64

import pytest

from strata.errors import SettingsError
from strata.pipelines.tokenization.formats import ENCODINGS, open_encoding, parse_ranks, rank_file

RANKS = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b" a": 257, b"\xf0\x9f": 258}


def lines_of(ranks, end=b"\n"):
    return end.join(b"%s %d" % (base64.b64encode(t), rank) for t, rank in ranks.items()) + end


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_ranks_any_line_end_gives_every_rank(end):
    assert parse_ranks(lines_of(RANKS, end), "x") == RANKS


def test_ranks_in_any_order_are_the_same():
    backwards = dict(reversed(RANKS.items()))
    assert parse_ranks(lines_of(backwards), "x") == RANKS


@pytest.mark.parametrize("damage", [b"", b"YWI=", b"YWI= x", b"YWI 9", b"YWI= 1 2", b"\xff\xfe 9"])
def test_ranks_damaged_line_is_counted_with_blank_lines(damage):
    data = lines_of(RANKS).replace(b"\n", b"\n\n", 3) + damage
    if not damage:
        assert parse_ranks(data, "x") == RANKS
        return
    with pytest.raises(SettingsError, match=r"rank file s3://b/x is damaged in line 263:"):
        parse_ranks(data, "s3://b/x")


def test_ranks_file_cut_off_in_a_line_is_refused():
    data = lines_of(RANKS)
    for keep in (1, len(data) // 2, len(data) - 12):
        with pytest.raises(SettingsError, match="rank file x"):
            parse_ranks(data[:keep], "x")


def test_ranks_negative_rank_is_refused():
    with pytest.raises(SettingsError, match="does not give each token one rank from 0 on"):
        parse_ranks(lines_of(RANKS | {b"ab": -1}), "x")


@pytest.mark.parametrize("name", ENCODINGS)
def test_encoding_special_text_is_ordinary_text_and_comes_back(name):
    encoding = open_encoding(lines_of(RANKS), name, "x")
    text = "ab \U0001f600 <|endoftext|> ab"
    ids = encoding.encode_ordinary(text)
    assert encoding.decode(ids) == text
    assert max(ids) <= max(RANKS.values())
    assert "<|endoftext|>" in encoding.special_tokens_set


def test_encoding_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"'o200k' is unknown \(the encodings are o200k_base, "):
        open_encoding(lines_of(RANKS), "o200k", "x")


def test_rank_file_is_gone_after_its_use():
    with rank_file(b"abc") as path:
        assert path.read_bytes() == b"abc"
        assert path.suffix == ".tiktoken"
    assert not path.exists()
