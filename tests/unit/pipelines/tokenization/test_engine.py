import base64
import json
import pickle
import sysconfig
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from strata.errors import BalanceError
from strata.pipelines.tokenization.encoders import GigatokenEncoder
from strata.pipelines.tokenization.engine import Engine, check_equal, reference_ids
from strata.pipelines.tokenization.spec import load_spec, spec_from_json
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import TokenizeSettings

SOURCES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]
STRANGE = [
    "",
    " ",
    "\n\n",
    "a <|endoftext|> b",
    "don't I'LL  two   spaces\t\r\n x",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "漢字かなカナ 한국어",
    "caf\u00e9 cafe\u0301 \u0301x",
    "\u0001 \ufeff \ufffd \U0010ffff",
    "1234567 3.14",
]


def strings(*texts):
    return pa.array(texts, pa.large_string())


@pytest.fixture(scope="module")
def corpus():
    return strings(*(file.read_text(encoding="utf-8") for file in SOURCES), *STRANGE)


@pytest.fixture(scope="module")
def trained(corpus):
    return train_bpe(corpus, 2000)


@pytest.fixture(scope="module")
def ranks(trained):
    """The trained model as a rank file: bytes in their own order, then tokens by merge."""
    vocabulary = json.loads(trained)["model"]["vocab"]
    bytes_of = {letter: byte for byte, letter in enumerate(letters())}
    tokens = [bytes(map(bytes_of.get, name)) for name in vocabulary if name != "<|endoftext|>"]
    tokens = sorted(token for token in tokens if len(token) == 1) + [
        token for token in tokens if len(token) > 1
    ]
    return b"".join(b"%s %d\n" % (base64.b64encode(t), n) for n, t in enumerate(tokens))


def letters():
    """The character for each byte, from the reference library."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    single = {chr(byte): split.pre_tokenize_str(chr(byte))[0][0] for byte in range(128)}
    free = iter(sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(single.values())))
    visible = {*range(161, 173), *range(174, 256)}
    high = {byte: chr(byte) for byte in visible}
    rest = [letter for letter in free if letter not in high.values()]
    hidden = [byte for byte in range(128, 256) if byte not in visible]
    return [single[chr(b)] if b < 128 else high.get(b) or rest[hidden.index(b)] for b in range(256)]


def lists(tokens):
    return [tokens.ids[a:b].tolist() for a, b in pairwise(tokens.offsets)]


def model_of(normalizer=None, split=None):
    model = Tokenizer(models.BPE())
    if normalizer:
        model.normalizer = normalizer
    model.pre_tokenizer = split or pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator([SOURCES[0].read_text(encoding="utf-8"), *STRANGE], trainer)
    return model


def spec_of(model, **settings):
    return spec_from_json(model.to_str().encode(), TokenizeSettings(**settings))


def expected(model, text, eos):
    """Ids by the untouched model, which is told to take special tokens for text."""
    oracle = tokenizers.Tokenizer.from_str(model.to_str())
    oracle.encode_special_tokens = True
    return [*oracle.encode(text, add_special_tokens=False).ids, eos]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
def test_engine_every_framing_equals_the_reference(trained, corpus, bos, eos):
    spec = spec_from_json(trained, TokenizeSettings(bos=bos, eos=eos))
    tokens = Engine.open(spec).encode(corpus)
    assert Engine.open(spec).encoder.name == "gigatoken"
    assert tokens.ids.dtype == np.int32
    assert tokens.offsets.dtype == np.int64
    assert lists(tokens) == [reference_ids(spec, text) for text in corpus.to_pylist()]
    assert lists(tokens)[-len(STRANGE)] == [spec.bos_id] * bos + [spec.eos_id] * eos


@pytest.mark.parametrize(("start", "length"), [(0, 5), (3, 9), (38, 12), (49, 1), (7, 0)])
def test_engine_sliced_array_equals_its_part_of_the_whole(trained, corpus, start, length):
    engine = Engine.open(spec_from_json(trained, TokenizeSettings()))
    part = engine.encode(corpus.slice(start, length))
    assert lists(part) == lists(engine.encode(corpus))[start : start + length]
    assert part.offsets[0] == 0
    assert len(part.offsets) == length + 1


def test_engine_only_empty_documents_gives_only_eos(trained):
    spec = spec_from_json(trained, TokenizeSettings())
    assert lists(Engine.open(spec).encode(strings("", "", ""))) == [[spec.eos_id]] * 3


@pytest.mark.parametrize("text", ["<|endoftext|>", "x<|endoftext|><|endoftext|>y"])
def test_engine_text_of_a_special_token_is_ordinary_text(trained, text):
    spec = spec_from_json(trained, TokenizeSettings(eos=False))
    tokens = Engine.open(spec).encode(strings(text))
    assert 0 not in tokens.ids
    assert Tokenizer.from_str(trained.decode()).decode(tokens.ids.tolist()) == text


def test_engine_document_of_5_mb_equals_the_sum_of_its_lines(trained):
    line = "A line of words, 漢字 and \U0001f600 that ends here.\n"
    repeats = 5_000_000 // len(line.encode())
    engine = Engine.open(spec_from_json(trained, TokenizeSettings(eos=False)))
    once = engine.encode(strings(line)).ids
    assert np.array_equal(engine.encode(strings(line * repeats)).ids, np.tile(once, repeats))


@pytest.mark.parametrize("special_first", [True, False])
def test_engine_added_token_that_is_not_special_keeps_its_id(special_first):
    model = model_of()
    added = [("<|x|>", True), ("<tool>", False)]
    for name, special in added if special_first else reversed(added):
        model.add_tokens([AddedToken(name, special=special)])
    spec = spec_of(model)
    text = "a <|x|> b <tool> c"
    ids = Engine.open(spec).encode(strings(text)).ids.tolist()
    assert ids == expected(model, text, spec.eos_id)
    assert model.token_to_id("<tool>") in ids
    assert model.token_to_id("<|x|>") not in ids


@pytest.mark.parametrize(
    "model",
    [
        lambda: model_of(normalizer=normalizers.Lowercase()),
        lambda: model_of(split=pre_tokenizers.Whitespace()),
        lambda: model_of(split=pre_tokenizers.Split(Regex("[a-z]+|[^a-z]+"), "isolated")),
        # This one gigatoken loads, and encodes differently.
        lambda: model_of(split=pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    ],
)
def test_engine_model_that_gigatoken_cannot_encode_goes_to_the_reference(model):
    built = model()
    built.add_special_tokens(["<|x|>"])
    built.add_tokens(["<tool>"])
    spec = spec_of(built)
    engine = Engine.open(spec)
    texts = [*STRANGE, "A <|x|> B <tool> c"]
    assert engine.encoder.name == "tokenizers"
    assert "gigatoken" in engine.fallback
    assert lists(engine.encode(strings(*texts))) == [
        expected(built, text, spec.eos_id) for text in texts
    ]
    assert lists(engine.encode(strings())) == []


def test_engine_unigram_model_is_encoded():
    model = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5)], 0))
    spec = spec_of(model, eos=False)
    assert spec.vocab_size == 4
    assert lists(Engine.open(spec).encode(strings("abab", ""))) == [[3, 3], []]


@pytest.mark.parametrize(
    "encoding", ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"]
)
def test_engine_rank_file_equals_tiktoken(ranks, corpus, encoding):
    settings = TokenizeSettings(tokenizer="x.tiktoken", encoding=encoding, bos=True)
    spec = load_spec(settings, lambda _: ranks)
    engine = Engine.open(spec)
    assert engine.encoder.name == "gigatoken"
    assert lists(engine.encode(corpus)) == [reference_ids(spec, t) for t in corpus.to_pylist()]


def test_engine_rank_file_with_a_gap_goes_to_tiktoken(ranks):
    settings = TokenizeSettings(tokenizer="x.tiktoken", encoding="r50k_base")
    spec = load_spec(settings, lambda _: ranks + b"YWFhYWFhYQ== 5000\n")
    engine = Engine.open(spec)
    assert engine.encoder.name == "tiktoken"
    assert lists(engine.encode(strings("b aaaaaaa", ""))) == [
        reference_ids(spec, "b aaaaaaa"),
        [50256],
    ]


def test_engine_full_cache_is_dropped_and_ids_stay(trained, corpus):
    spec = spec_from_json(trained, TokenizeSettings(eos=False))
    careless, careful = GigatokenEncoder(spec), GigatokenEncoder(spec, cache_bytes=-(2**62))
    first = careful._model
    assert lists(careful.encode(corpus)) == lists(careless.encode(corpus))
    assert careful._model is not first


def test_engine_id_outside_of_the_vocabulary_names_document_and_token(trained):
    spec = spec_from_json(trained, TokenizeSettings(eos=False))
    small = replace(spec, vocab_size=260)
    engine = Engine(small, GigatokenEncoder(spec))
    with pytest.raises(BalanceError, match=r"document 1 of the batch .* at token 1, .* 260 ids"):
        engine.encode(strings("", "xreturn", "return"))


def test_engine_is_opened_once_for_equal_specifications(trained):
    spec = spec_from_json(trained, TokenizeSettings())
    assert Engine.open(pickle.loads(pickle.dumps(spec))) is Engine.open(spec)


def test_check_equal_right_engine_passes(trained, corpus):
    spec = spec_from_json(trained, TokenizeSettings(bos=True))
    check_equal(Engine.open(spec), spec, corpus)
    check_equal(Engine.open(spec), spec, corpus.slice(5, 0))


def test_check_equal_long_document_is_checked_at_its_beginning(trained):
    spec = spec_from_json(trained, TokenizeSettings())
    check_equal(Engine.open(spec), spec, strings("ab " * 1_000_000))


def test_check_equal_other_ids_name_document_and_token(trained, corpus):
    spec = spec_from_json(trained, TokenizeSettings())
    other = spec_from_json(train_bpe(corpus, 300), TokenizeSettings())
    with pytest.raises(BalanceError, match=r"gigatoken .* document 1 of a sample, from token \d"):
        check_equal(Engine.open(other), spec, strings("", "return"))


def test_check_equal_missing_eos_is_found(trained):
    spec = spec_from_json(trained, TokenizeSettings())
    engine = Engine.open(replace(spec, eos_id=None))
    with pytest.raises(BalanceError, match="document 0 of a sample, from token 1 on"):
        check_equal(engine, spec, strings("a"))
