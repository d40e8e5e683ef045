import json
import sysconfig
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from strata.errors import BalanceError
from strata.pipelines.tokenization.encoders import TokenizersEncoder, reference
from strata.pipelines.tokenization.engine import Engine, Tokens, check_equal, reference_ids
from strata.pipelines.tokenization.spec import spec_from_json
from strata.settings import TokenizeSettings

SOURCE = (Path(sysconfig.get_path("stdlib")) / "textwrap.py").read_text(encoding="utf-8")[:8000]
TEXTS = [
    SOURCE,
    "",
    " ",
    "a<s>b</s> c <unk> <0x0A> <tool>",
    "<s>",
    "</s></s>",
    "  two  spaces\n\n\tend ",
    "caf\u00e9 cafe\u0301 漢字 \U0001f600 \u2581x",
    "don't 1234567",
]
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def strings(*texts):
    return pa.array(texts, pa.large_string())


def lists(tokens):
    return [tokens.ids[a:b].tolist() for a, b in pairwise(tokens.offsets)]


def trained(model, trainer, normalizer=None, split=None):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if split:
        tokenizer.pre_tokenizer = split
    tokenizer.train_from_iterator([SOURCE], trainer)
    frame = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    # Frames, cutting and padding of the file are for models; a corpus has its own.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=frame
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    return tokenizer


def sentencepiece_like(normalizer, split=None):
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*SPECIAL, *BYTES], limit_alphabet=90, show_progress=False
    )
    model = models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    content = json.loads(trained(model, trainer, normalizer, split).to_str())
    # In such a file the byte tokens are only in the vocabulary, and <s> is there too.
    content["added_tokens"] = content["added_tokens"][: len(SPECIAL)]
    return Tokenizer.from_str(json.dumps(content))


@cache
def llama():
    marks = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    return sentencepiece_like(normalizers.Sequence(marks))


@cache
def metaspace():
    return sentencepiece_like(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))


@cache
def word_piece():
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    normalizer, split = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return trained(models.WordPiece(unk_token="<unk>"), trainer, normalizer, split)


@cache
def unigram():
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    return trained(models.Unigram(), trainer, split=pre_tokenizers.Metaspace())


def spec_of(tokenizer, **settings):
    return spec_from_json(tokenizer.to_str().encode(), TokenizeSettings(**settings))


def untouched_ids(tokenizer, text):
    """What the library says of a text without frames, with special tokens as text."""
    model = Tokenizer.from_str(tokenizer.to_str())
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    return model.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("build", "engine"),
    [
        (llama, "gigatoken"),
        (metaspace, "gigatoken"),
        (word_piece, "tokenizers"),
        (unigram, "tokenizers"),
    ],
)
def test_engine_every_kind_of_model_equals_the_untouched_library(build, engine):
    tokenizer = build()
    spec = spec_of(tokenizer, bos=True)
    opened = Engine.open(spec)
    assert opened.encoder.name == engine
    assert ("Unsupported model type" in opened.fallback) == (engine == "tokenizers")
    found = lists(opened.encode(strings(*TEXTS)))
    assert found == [[1, *untouched_ids(tokenizer, text), 2] for text in TEXTS]
    assert found == [reference_ids(spec, text) for text in TEXTS]
    check_equal(opened, spec, strings(*TEXTS))


def test_engine_sentencepiece_model_knows_special_tokens_only_as_frame():
    engine = Engine.open(spec_of(llama(), bos=True))
    for ids in lists(engine.encode(strings(*TEXTS))):
        assert (ids[0], ids[-1]) == (1, 2)
        assert not {0, 1, 2}.intersection(ids[1:-1])


@pytest.mark.parametrize("special", [True, False])
def test_engine_added_tokens_of_a_sentencepiece_model_keep_their_meaning(special):
    tokenizer = Tokenizer.from_str(llama().to_str())
    tokenizer.add_tokens([AddedToken("<tool>", special=special, lstrip=True)])
    spec = spec_of(tokenizer, eos=False)
    text = "call <tool> it"
    ids = Engine.open(spec).encode(strings(text)).ids.tolist()
    assert ids == untouched_ids(tokenizer, text)
    assert (tokenizer.token_to_id("<tool>") in ids) is not special


def test_engine_ids_that_the_library_numbers_anew_are_those_of_the_library():
    content = json.loads(llama().to_str())
    tool = content["added_tokens"][0] | {"id": 5000, "content": "<tool>", "special": False}
    content["added_tokens"].append(tool)
    spec = spec_from_json(json.dumps(content).encode(), TokenizeSettings(eos=False))
    engine = Engine.open(spec)
    assert spec.vocab_size < 5000
    assert engine.fallback == "gigatoken encodes this model differently from the reference"
    assert spec.vocab_size - 1 in engine.encode(strings("call <tool> it")).ids


def test_engine_bpe_dropout_of_the_file_is_off():
    content = json.loads(llama().to_str())
    content["model"]["dropout"] = 0.5
    spec = spec_from_json(json.dumps(content).encode(), TokenizeSettings(eos=False))
    engine = Engine.open(spec)
    assert engine.encoder.name == "gigatoken"
    assert engine.encode(strings(SOURCE)).ids.tolist() == untouched_ids(llama(), SOURCE)
    assert TokenizersEncoder(spec).encode(strings(SOURCE)).ids.tolist() == untouched_ids(
        llama(), SOURCE
    )


def test_check_equal_shorter_answer_names_the_first_token_that_is_missing():
    spec = spec_of(word_piece())
    engine = Engine(spec, _Cut(reference(spec)))
    token = len(reference_ids(spec, "def return class")) - 2
    with pytest.raises(BalanceError, match=f"cut .* document 1 of a sample, from token {token} on"):
        check_equal(engine, spec, strings("", "def return class", "def"))


def test_check_equal_compares_only_the_sample_that_it_is_given():
    spec = spec_of(word_piece())
    engine = Engine(spec, _Cut(reference(spec)))
    check_equal(engine, spec, strings("", "def return class").slice(0, 1))
    check_equal(engine, spec, strings())


class _Cut:
    """An encoder that loses the last token of every document."""

    name = "cut"

    def __init__(self, inner):
        self._inner = inner

    def encode(self, text):
        kept = [ids[:-1] for ids in lists(self._inner.encode(text))]
        ends = np.cumsum([0, *map(len, kept)])
        return Tokens(ends.astype(np.int64), np.array([*chain(*kept)], np.int32))
