"""Hugging Face's ``tokenizer.json``: opening it so that special tokens in a text are ordinary text.

`tokenizers` numbers added tokens anew when it loads a file, so that none may be taken out of what
it loads; `gigatoken` takes their ids from the file and has no switch, so that they must be.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from strata.errors import SettingsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["added_tokens", "open_model", "without_special_tokens"]


def open_model(data: bytes, place: str) -> Tokenizer:
    """The model in its reference library; it cuts nothing off, and special tokens are text to it.

    BPE dropout, which is for training and encodes the same text differently each time, is off.

    Args:
        data: bytes of a ``tokenizer.json``.
        place: where they come from, for the error.

    Raises:
        SettingsError: they are no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        model = Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing narrower
        raise SettingsError(
            f"{place} is not a tokenizer.json: {error}",
            hint="name a Hugging Face tokenizer.json, or a .tiktoken file with its encoding",
        ) from error
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    if getattr(model.model, "dropout", None):
        model.model.dropout = None
    return model


def added_tokens(data: bytes) -> list[str]:
    """The text of every added token, special or not."""
    return [str(entry["content"]) for entry in json.loads(data).get("added_tokens") or []]


def without_special_tokens(data: bytes) -> bytes:
    """A ``tokenizer.json`` for gigatoken, without special added tokens and what frames a text."""
    content: dict[str, Any] = json.loads(data)
    added = content.get("added_tokens") or []
    content["added_tokens"] = [entry for entry in added if not entry.get("special")]
    content["post_processor"] = content["truncation"] = content["padding"] = None
    return json.dumps(content).encode()
