"""The file formats of tokenizers: Hugging Face's ``tokenizer.json`` and tiktoken's rank files.

A ``tokenizer.json`` is opened so that special tokens in a text are ordinary text. `tokenizers`
renumbers added tokens when it loads a file, so none may be removed from what it loads; `gigatoken`
takes their ids from the file and has no option to ignore them, so there they must be removed.

Rank files hold the encodings that OpenAI publishes; nothing is downloaded.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from strata.errors import SettingsError

if TYPE_CHECKING:
    from tiktoken import Encoding
    from tokenizers import Tokenizer

__all__ = [
    "ENCODINGS",
    "added_tokens",
    "open_encoding",
    "open_model",
    "parse_ranks",
    "rank_file",
    "without_special_tokens",
]

# The name of the split pattern in gigatoken, by encoding.
ENCODINGS = {
    "o200k_base": "o200k",
    "cl100k_base": "cl100k",
    "r50k_base": "r50k",
    "p50k_base": "r50k",
    "gpt2": "gpt2",
}
# A word of WordPiece takes a tenth of a second at this length, and a thousand times that at ten
# times the length.
LONGEST_WORD = 1_000
LINE_FORM = "each line of a .tiktoken file is a base64 token, a space and a rank"


def open_model(data: bytes, place: str) -> Tokenizer:
    """The model in its reference library, without truncation; special tokens in a text are text.

    BPE dropout, which is for training and encodes the same text differently each time, is off.

    Args:
        data: bytes of a ``tokenizer.json``.
        place: where they come from, for the error message.

    Raises:
        SettingsError: they are not a tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        model = Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing narrower
        raise SettingsError(
            f"{place} is not a tokenizer.json: {error}",
            hint="name a Hugging Face tokenizer.json, or a .tiktoken file with its encoding",
        ) from error
    _refuse_long_words(model, place)
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    if getattr(model.model, "dropout", None):
        model.model.dropout = None
    return model


def _refuse_long_words(model: Tokenizer, place: str) -> None:
    """WordPiece tries every end of every part, so a word of n characters takes n³ steps."""
    limit = getattr(model.model, "max_input_chars_per_word", 0)
    if limit > LONGEST_WORD:
        raise SettingsError(
            f"the WordPiece model of {place} splits words of up to {limit:,} characters "
            f"(max_input_chars_per_word), which can take hours for one word",
            hint=f"set it to {LONGEST_WORD:,} or less in the file, 100 is usual; a longer word "
            "becomes the unknown token",
        )


def added_tokens(data: bytes) -> list[str]:
    """The text of every added token, special or not."""
    return [str(entry["content"]) for entry in json.loads(data).get("added_tokens") or []]


def without_special_tokens(data: bytes) -> bytes:
    """A ``tokenizer.json`` for gigatoken, without special added tokens, framing and truncation."""
    content: dict[str, Any] = json.loads(data)
    added = content.get("added_tokens") or []
    content["added_tokens"] = [entry for entry in added if not entry.get("special")]
    content["post_processor"] = content["truncation"] = content["padding"] = None
    return json.dumps(content).encode()


def parse_ranks(data: bytes, place: str) -> dict[bytes, int]:
    """The mergeable ranks of a ``.tiktoken`` file: a base64 token and its rank on each line.

    Args:
        data: bytes of the file.
        place: where they come from, for the error.

    Raises:
        SettingsError: a line does not have this form, a token or rank occurs twice, or a byte has
            no rank.
    """
    ranks: dict[bytes, int] = {}
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    for number, line in lines:
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise SettingsError(
                f"the rank file {place} is damaged in line {number}: {line[:60]!r}", hint=LINE_FORM
            ) from error
    if not len(lines) == len(ranks) == len(set(ranks.values())) or min(ranks.values(), default=0):
        raise SettingsError(
            f"the rank file {place} has {len(lines)} lines, {len(ranks)} tokens and "
            f"{len(set(ranks.values()))} ranks, and does not give each token one rank from 0 on",
            hint="download the file again",
        )
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise SettingsError(
            f"the rank file {place} has no rank for {len(missing)} of the 256 bytes, "
            f"such as 0x{missing[0]:02x}",
            hint="download the file again: it was cut off, or is no rank file of byte-level BPE",
        )
    return ranks


def open_encoding(data: bytes, name: str, place: str) -> Encoding:
    """Tiktoken's own encoder over the ranks of a file.

    Args:
        data: bytes of the rank file.
        name: the encoding that it belongs to, which decides pattern and special tokens.
        place: where the bytes come from, for the error.

    Raises:
        SettingsError: the encoding is unknown, or the file is damaged or belongs to another one.
    """
    import tiktoken

    if name not in ENCODINGS:
        raise SettingsError(
            f"tokenize.encoding = {name!r} is unknown",
            hint=f"the encodings are {', '.join(ENCODINGS)}",
        )
    ranks = parse_ranks(data, place)
    recipe = _recipe(name, ranks)
    taken = set(recipe["special_tokens"].values()) & set(ranks.values())
    if taken:
        raise SettingsError(
            f"the rank file {place} uses the id {min(taken)}, a special token of {name}",
            hint="name the encoding that the file belongs to with tokenize.encoding",
        )
    return tiktoken.Encoding(**recipe)


def _recipe(name: str, ranks: dict[bytes, int]) -> dict[str, Any]:
    """Pattern and special tokens, which tiktoken has in its code; only ranks come from the file."""
    openai_public = import_module("tiktoken_ext.openai_public")
    given = {"load_tiktoken_bpe": lambda *_, **__: ranks}
    given["data_gym_to_mergeable_bpe_ranks"] = given["load_tiktoken_bpe"]
    constructor = getattr(openai_public, name)
    offline = FunctionType(constructor.__code__, {**vars(openai_public), **given})
    recipe: dict[str, Any] = offline()
    # Another file of the same kind may have another number of ids than the published one.
    recipe.pop("explicit_n_vocab", None)
    return recipe


@contextmanager
def rank_file(data: bytes) -> Iterator[Path]:
    """The ranks as a file on the local disk, for a library that only reads files."""
    with tempfile.NamedTemporaryFile(suffix=".tiktoken") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)
