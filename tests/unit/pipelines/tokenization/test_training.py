import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from strata.errors import InputError
from strata.pipelines.tokenization.engine import Engine, check_equal
from strata.pipelines.tokenization.spec import spec_from_json
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import TokenizeSettings

SOURCES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[40:60]
TRAIN = """
import hashlib, sys
import pyarrow as pa
from strata.pipelines.tokenization.training import train_bpe
texts = pa.array(sys.stdin.buffer.read().decode().split("\\0"), pa.large_string())
print(hashlib.sha256(train_bpe(texts, 1500)).hexdigest())
"""


def strings(*texts):
    return pa.array(texts, pa.large_string())


@pytest.fixture(scope="module")
def corpus():
    texts = [file.read_text(encoding="utf-8") for file in SOURCES]
    return strings(*texts, "漢字かな 😀 été <|endoftext|> " * 20)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_training_any_number_of_threads_gives_the_same_bytes(corpus, threads):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        input="\0".join(corpus.to_pylist()).encode(),
        env=os.environ | {"RAYON_NUM_THREADS": threads},
        capture_output=True,
        check=True,
    )
    here = hashlib.sha256(train_bpe(corpus, 1500)).hexdigest()
    assert done.stdout.decode().strip() == here


def test_training_trained_model_is_the_same_in_both_engines(corpus):
    spec = spec_from_json(train_bpe(corpus, 1500), TokenizeSettings())
    engine = Engine.open(spec)
    assert (engine.encoder.name, spec.eos_id, spec.vocab_size) == ("gigatoken", 0, 1500)
    check_equal(engine, spec, corpus)


def test_training_trained_model_gives_every_text_back(corpus):
    data = train_bpe(corpus, 600)
    spec = spec_from_json(data, TokenizeSettings(eos=False))
    text = "Ünseen 文字 \U0001f99a\t\x01 <|endoftext|>"
    ids = Engine.open(spec).encode(strings(text)).ids.tolist()
    assert Tokenizer.from_str(data.decode()).decode(ids) == text


@pytest.mark.parametrize("texts", [[""], ["", ""], ["a"], ["ab ab ab"], ["漢"], [" \n"]])
def test_training_small_text_gives_a_smaller_vocabulary(texts):
    spec = spec_from_json(train_bpe(strings(*texts), 5000), TokenizeSettings())
    assert 257 <= spec.vocab_size < 270
    check_equal(Engine.open(spec), spec, strings(*texts))


def test_training_merges_stop_at_the_end_of_a_document():
    apart, together = train_bpe(strings("ab", "ab"), 300), train_bpe(strings("abab"), 300)
    sizes = [Tokenizer.from_str(data.decode()).get_vocab_size() for data in (apart, together)]
    assert sizes == [258, 259]


def test_training_sliced_array_sees_only_its_part(corpus):
    assert train_bpe(corpus.slice(3, 4), 600) == train_bpe(strings(*corpus.to_pylist()[3:7]), 600)


def test_training_says_nothing(capfd):
    train_bpe(strings("some words"), 300)
    assert capfd.readouterr() == ("", "")


def test_training_no_document_is_an_input_error():
    with pytest.raises(InputError, match="there is no text to train a tokenizer on"):
        train_bpe(strings(), 300)
