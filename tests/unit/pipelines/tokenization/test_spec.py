import base64
import json
import pickle
import socket

import pytest
from tokenizers import Tokenizer, models

from strata.errors import SettingsError
from strata.pipelines.tokenization.spec import TokenizerKind, load_spec, spec_from_json
from strata.settings import TokenizeSettings

BYTES = {bytes([byte]): byte for byte in range(256)}


def rank_file(ranks):
    return b"".join(b"%s %d\n" % (base64.b64encode(t), rank) for t, rank in ranks.items())


def model_json(*special, vocabulary=("a", "b")):
    model = Tokenizer(models.BPE(vocab={name: n for n, name in enumerate(vocabulary)}, merges=[]))
    model.add_special_tokens(list(special))
    return model.to_str().encode()


def tiktoken_spec(data, encoding="r50k_base", **settings):
    settings = TokenizeSettings(tokenizer="s3://b/x.tiktoken", encoding=encoding, **settings)
    return load_spec(settings, lambda _: data)


@pytest.mark.parametrize(
    ("special", "bos", "eos"),
    [
        (["<|endoftext|>"], 2, 2),
        (["<s>", "</s>"], 2, 3),
        (["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], 2, 3),
        (["<bos>", "<eos>"], 2, 3),
        (["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], 2, 3),  # noqa: RUF001
    ],
)
def test_spec_usual_names_are_found(special, bos, eos):
    spec = spec_from_json(model_json(*special), TokenizeSettings(bos=True))
    assert (spec.bos_id, spec.eos_id, spec.vocab_size) == (bos, eos, 2 + len(special))


def test_spec_named_tokens_win_over_usual_names():
    settings = TokenizeSettings(bos=True, bos_token="a", eos_token="<x>")
    spec = spec_from_json(model_json("<|endoftext|>", "<x>"), settings)
    assert (spec.bos_id, spec.eos_id) == (0, 3)


def test_spec_without_frames_needs_no_special_token():
    spec = spec_from_json(model_json(), TokenizeSettings(eos=False))
    assert (spec.bos_id, spec.eos_id, spec.vocab_size) == (None, None, 2)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, r"tokenize\.eos = true, but the vocabulary has no token <\|endoftext\|> or"),
        ({"eos_token": "<y>"}, r"no token <y> \(name it with tokenize\.eos_token"),
        ({"eos": False, "bos": True}, r"tokenize\.bos = true"),
    ],
)
def test_spec_missing_special_token_names_the_setting(settings, reason):
    with pytest.raises(SettingsError, match=reason):
        spec_from_json(model_json(), TokenizeSettings(**settings))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff\xfe", b'{"model": {"vocab": 5}}'])
def test_spec_file_that_is_no_tokenizer_names_the_file(data):
    with pytest.raises(SettingsError, match=r"/x/tokenizer\.json is not a tokenizer"):
        load_spec(TokenizeSettings(tokenizer="/x/tokenizer.json"), lambda _: data)


def test_spec_empty_vocabulary_is_refused():
    with pytest.raises(SettingsError, match="has 0 ids"):
        spec_from_json(model_json(vocabulary=()), TokenizeSettings(eos=False))


def test_spec_reads_the_url_that_the_settings_name():
    seen = []

    def read(place):
        seen.append(place)
        return model_json("</s>")

    spec = load_spec(TokenizeSettings(tokenizer="s3://bucket/t.json"), read)
    assert seen == ["s3://bucket/t.json"]
    assert spec.kind is TokenizerKind.HUGGING_FACE


def test_spec_fingerprint_follows_everything_that_decides_the_ids():
    def fingerprint(data, **settings):
        return spec_from_json(data, TokenizeSettings(**settings)).fingerprint

    data = model_json("</s>", "<s>")
    assert fingerprint(data) == fingerprint(bytes(bytearray(data)))
    others = [
        fingerprint(data, bos=True),
        fingerprint(data, eos=False),
        fingerprint(data, eos_token="<s>"),
        fingerprint(data + b"\n"),
        tiktoken_spec(rank_file(BYTES)).fingerprint,
        tiktoken_spec(rank_file(BYTES), "gpt2").fingerprint,
    ]
    assert len({fingerprint(data), *others}) == 7


def test_spec_pickle_round_trip_is_equal():
    spec = tiktoken_spec(rank_file(BYTES), bos=True)
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert hash(again) == hash(spec)


@pytest.mark.parametrize(
    ("encoding", "eos", "size"),
    [
        ("gpt2", 50256, 50257),
        ("r50k_base", 50256, 50257),
        ("p50k_base", 50256, 50257),
        ("cl100k_base", 100257, 100277),
        ("o200k_base", 199999, 200019),
    ],
)
def test_spec_rank_file_takes_special_tokens_of_its_encoding(encoding, eos, size, monkeypatch):
    def no_network(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", no_network)
    spec = tiktoken_spec(rank_file(BYTES), encoding)
    assert (spec.kind, spec.eos_id, spec.vocab_size) == (TokenizerKind.TIKTOKEN, eos, size)


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [
        (rank_file(BYTES), "o200", r"encoding = 'o200' is unknown \(the encodings are o200k_base"),
        (rank_file(BYTES) + b"!!! 256\n", "gpt2", "damaged in line 257"),
        (rank_file(BYTES) + b"YWI=\n", "gpt2", "damaged in line 257"),
        (rank_file(BYTES) + b"YWI= 3\n", "gpt2", "257 lines, 257 tokens and 256 ranks"),
        (rank_file(BYTES) + b"YQ== 256\n", "gpt2", "257 lines, 256 tokens"),
        (rank_file({b"a": 0}), "gpt2", "no rank for 255 of the 256 bytes"),
        (b"", "gpt2", "no rank for 256 of the 256 bytes"),
        (rank_file(BYTES | {b"ab": 50256}), "gpt2", "uses the id 50256, a special token of gpt2"),
    ],
)
def test_spec_damaged_rank_file_says_what_is_wrong(data, encoding, reason):
    with pytest.raises(SettingsError, match=reason):
        tiktoken_spec(data, encoding)


def test_spec_settings_of_frames_do_not_change_the_vocabulary_bytes():
    data = model_json("</s>")
    assert spec_from_json(data, TokenizeSettings()).data == data
    assert json.loads(data)["added_tokens"][0]["special"] is True
