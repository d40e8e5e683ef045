"""What a tokenizer is, as one picklable value: vocabulary bytes, special ids, fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from strata.errors import SettingsError
from strata.pipelines.tokenization.formats import open_encoding, open_model
from strata.settings import TokenizeSettings

__all__ = ["TokenizerKind", "TokenizerSpec", "load_spec", "spec_from_json"]

EOS_NAMES = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<|eot_id|>",
    "<eos>",
    "<|im_end|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)
BOS_NAMES = (
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<s>",
    "<bos>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    "<|endoftext|>",
)
# Largest id that the column `tokens` (int32) holds.
LARGEST_ID = 2**31 - 1


class TokenizerKind(StrEnum):
    """The format of the vocabulary."""

    HUGGING_FACE = "tokenizer.json"
    TIKTOKEN = "tiktoken"


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """A tokenizer, ready to be shipped to workers.

    Attributes:
        kind: format of ``data``.
        data: the file's bytes.
        encoding: name of a tiktoken encoding.
        bos_id: id put before every document, or None.
        eos_id: id put after every document, or None.
        vocab_size: one more than the largest id.
    """

    kind: TokenizerKind
    data: bytes
    encoding: str | None
    bos_id: int | None
    eos_id: int | None
    vocab_size: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the ids, 32 hexadecimal digits of it."""
        facts = [self.kind, self.encoding, self.bos_id, self.eos_id, self.vocab_size]
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(self.data)
        return digest.hexdigest()[:32]


def load_spec(settings: TokenizeSettings, read_bytes: Callable[[str], bytes]) -> TokenizerSpec:
    """Read the tokenizer that the settings name, and make sure that it can be opened.

    Args:
        settings: ``[tokenize]``, with a ``tokenizer``.
        read_bytes: reads a file by URL or path.

    Raises:
        SettingsError: the file is not a tokenizer, or lacks a special token that is required.
        InputMissingError: there is no such file.
    """
    place = str(settings.tokenizer)
    data = read_bytes(place)
    if place.endswith(".tiktoken") or (settings.encoding and not place.endswith(".json")):
        return _spec_from_ranks(data, settings)
    return spec_from_json(data, settings)


def spec_from_json(data: bytes, settings: TokenizeSettings) -> TokenizerSpec:
    """A specification from the bytes of a ``tokenizer.json``.

    Raises:
        SettingsError: not a tokenizer, or it lacks a special token that is required.
    """
    model = open_model(data, settings.tokenizer or "the trained tokenizer")
    ids = model.get_vocab(with_added_tokens=True)
    size = max(ids.values(), default=-1) + 1
    return _spec(TokenizerKind.HUGGING_FACE, data, settings, ids, size)


def _spec_from_ranks(data: bytes, settings: TokenizeSettings) -> TokenizerSpec:
    model = open_encoding(data, str(settings.encoding), str(settings.tokenizer))
    ids = {name: model.encode_single_token(name) for name in model.special_tokens_set}
    return _spec(TokenizerKind.TIKTOKEN, data, settings, ids, model.n_vocab)


def _spec(
    kind: TokenizerKind,
    data: bytes,
    settings: TokenizeSettings,
    ids: Mapping[str, int],
    size: int,
) -> TokenizerSpec:
    if not 0 < size <= LARGEST_ID:
        raise SettingsError(
            f"{settings.tokenizer} has {size} ids, which do not fit the column `tokens` (int32)",
            hint="use a tokenizer with a vocabulary of 1 to 2,147,483,647 ids",
        )
    bos = _find(settings.bos_token, BOS_NAMES, ids, "bos") if settings.bos else None
    eos = _find(settings.eos_token, EOS_NAMES, ids, "eos") if settings.eos else None
    encoding = settings.encoding if kind is TokenizerKind.TIKTOKEN else None
    return TokenizerSpec(kind, data, encoding, bos, eos, size)


def _find(wanted: str | None, names: tuple[str, ...], ids: Mapping[str, int], kind: str) -> int:
    for name in (wanted,) if wanted else names:
        if name in ids:
            return ids[name]
    raise SettingsError(
        f"tokenize.{kind} = true, but the vocabulary has no token {wanted or ' or '.join(names)}",
        hint=f"name it with tokenize.{kind}_token, or set tokenize.{kind} = false",
    )
