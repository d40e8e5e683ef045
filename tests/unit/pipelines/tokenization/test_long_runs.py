"""Every kind of tokenizer on documents that are one run of characters."""

import base64
import json
import random
import time

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from strata.errors import InputError, SettingsError
from strata.pipelines.tokenization.encoders import TiktokenEncoder
from strata.pipelines.tokenization.engine import Engine
from strata.pipelines.tokenization.spec import TokenizerKind, TokenizerSpec, spec_from_json
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import TokenizeSettings

PLAIN = TokenizeSettings(eos=False)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+/="
RUNS = {
    "letter": lambda n: "a" * n,
    "blank": lambda n: " " * n,
    "marks": lambda n: "a" + "\u0301" * n,
    "base64": lambda n: base64.b64encode(random.Random(3).randbytes(n))[:n].decode(),
}
RANKS = {bytes([byte]): byte for byte in range(256)} | {b"aa": 256, b"aaaa": 257, b"  ": 258}


def strings(*texts):
    return pa.array(texts, pa.large_string())


def byte_level():
    return train_bpe(strings("aa aaaa abab " * 20, "  " * 40), 300)


def whole_document():
    vocab = {"<unk>": 0, "\u2581": 1} | {char: n for n, char in enumerate(LETTERS, 2)}
    vocab |= {"aa": len(vocab), "aaaa": len(vocab) + 1}
    model = models.BPE(vocab, [("a", "a"), ("aa", "aa")], unk_token="<unk>", fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    return tokenizer.to_str().encode()


def unigram():
    pieces = [("<unk>", 0.0), ("\u2581", -2.0), ("aa", -1.5), *((char, -3.0) for char in LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer.to_str().encode()


def word_piece(longest=100):
    vocab = {"[UNK]": 0, "a": 1, "##a": 2}
    model = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=longest)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer.to_str().encode()


def word_level():
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str().encode()


def rank_spec():
    lines = (b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in RANKS.items())
    return TokenizerSpec(TokenizerKind.TIKTOKEN, b"".join(lines), "cl100k_base", None, None, 100300)


KINDS = {
    make.__name__: make for make in (byte_level, whole_document, unigram, word_piece, word_level)
}


def engine_of(kind):
    return Engine.open(rank_spec() if kind == "tiktoken" else spec_from_json(KINDS[kind](), PLAIN))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("kind", [*KINDS, "tiktoken"])
def test_encoding_time_grows_no_faster_than_the_run(kind, run):
    engine = engine_of(kind)

    def seconds(characters):
        text = strings(RUNS[run](characters))
        began = time.process_time()
        engine.encode(text)
        return time.process_time() - began

    seconds(1_000)
    # Ten times the length; what is quadratic takes a hundred times as long.
    assert seconds(200_000) < 30 * seconds(20_000) + 0.2


@pytest.mark.parametrize("run", RUNS)
def test_encoding_long_run_comes_back_byte_by_byte(run):
    data = byte_level()
    text = RUNS[run](100_000)
    ids = Engine.open(spec_from_json(data, PLAIN)).encode(strings(text)).ids.tolist()
    assert Tokenizer.from_str(data.decode()).decode(ids) == text


def test_reference_that_gives_up_on_a_document_says_which_one():
    encoder = TiktokenEncoder(rank_spec())
    with pytest.raises(InputError, match=r"tiktoken cannot encode .* 1,500,001 characters"):
        encoder.encode(strings(" " * 1_500_000 + "x"))


def test_word_piece_without_a_usable_limit_on_words_is_refused():
    with pytest.raises(SettingsError, match="words of up to 1,001 characters"):
        spec_from_json(word_piece(longest=1_001), PLAIN)
    assert json.loads(spec_from_json(word_piece(longest=1_000), PLAIN).data)
