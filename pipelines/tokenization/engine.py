"""The engine of a tokenizer in a worker: the fastest correct encoder, BOS and EOS, range check.

In every job, a sample of documents is checked against the library that defines the tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import BalanceError
from strata.pipelines.tokenization.encoders import (
    Encoder,
    GigatokenEncoder,
    Tokens,
    framed,
    reference,
)
from strata.pipelines.tokenization.formats import added_tokens
from strata.pipelines.tokenization.spec import TokenizerKind, TokenizerSpec

__all__ = ["Engine", "Tokens", "check_equal", "reference_ids"]

# Texts on which encoders have been seen to disagree: white space, contractions, digits, scripts,
# marks, symbols, and forms that a normalizer changes.
PROBE = (
    "Hello world, it's I'M we'll They'VE  two   spaces \t tab\n\n\nlines \r\n end ",
    " 1 22 333 4444 55555 3.14159 0x1F 1,000,000 \u0661\u0662\u0663 ½ x²",
    "def f(x):\n    return {'a': [x ** 2], \"b\": x != 3}  # ok\n\tpass;;;///***",
    "HTTPServer camelCase snake_case https://a.example/b?c=d&e=f#g me@x.example aaaaaaaaaaaaaaaa",
    "café cafe\u0301 İstanbul \ufb01n \uff26\uff55\uff4c\uff4c \u01c5 ß Å \u212b",
    "漢字かなカナ。한국어 中文、混在 mixed Привет мир مرحبا नमस्ते สวัสดี",
    "😀 👨\u200d👩\u200d👧 🇫🇷 →∀x∈∅ €£ —…“q”",
    "\u0301x \u00a0\u2003\u3000\u200b\ufeff \u0001\u001f\u007f\u0085\u2028 \ufffd \ue000",
    "",
    " ",
    "\n",
)
# A reference library encodes 3 MB/s, so only the beginning of a long document is compared: the 64
# documents of each task then take 0.2 s at most.
CHECKED_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class Engine:
    """The encoder of a specification, with BOS, EOS and the range check.

    Attributes:
        spec: the tokenizer.
        encoder: the native encoder or, where it cannot be used, the reference library.
        fallback: why the native encoder is not used; empty where it is.
    """

    spec: TokenizerSpec
    encoder: Encoder
    fallback: str = ""

    @staticmethod
    def open(spec: TokenizerSpec) -> Engine:
        """The engine of a specification, loaded once per process."""
        return _open(spec)

    def encode(self, text: pa.LargeStringArray) -> Tokens:
        """Encode documents.

        Args:
            text: n documents, without nulls.

        Raises:
            BalanceError: an id is outside the vocabulary.
        """
        tokens = self.encoder.encode(text)
        # Read as unsigned, a negative id is too large as well.
        if len(tokens.ids) and int(tokens.ids.view(np.uint32).max()) >= self.spec.vocab_size:
            raise _out_of_range(tokens, self.spec.vocab_size)
        return framed(tokens, self.spec.bos_id, self.spec.eos_id)


@lru_cache(maxsize=2)
def _open(spec: TokenizerSpec) -> Engine:
    trusted = reference(spec)
    try:
        native = GigatokenEncoder(spec)
    except RuntimeError as error:
        return Engine(spec, trusted, f"gigatoken: {str(error).splitlines()[0]}")
    # gigatoken loads some models that it encodes differently, such as ByteLevel without its regex.
    if _answers(native, spec) != _answers(trusted, spec):
        return Engine(spec, trusted, "gigatoken encodes this model differently from the reference")
    return Engine(spec, native)


def _answers(encoder: Encoder, spec: TokenizerSpec) -> list[list[int]]:
    probe = list(PROBE)
    if spec.kind is TokenizerKind.HUGGING_FACE:
        probe += [f"a {token}b{token} c" for token in added_tokens(spec.data)]
    tokens = encoder.encode(pa.array(probe, pa.large_string()))
    return [part.tolist() for part in np.split(tokens.ids, tokens.offsets[1:-1])]


def _out_of_range(tokens: Tokens, size: int) -> BalanceError:
    place = int(np.flatnonzero(tokens.ids.view(np.uint32) >= size)[0])
    document = int(np.searchsorted(tokens.offsets, place, side="right")) - 1
    return BalanceError(
        f"document {document} of the batch has the id {int(tokens.ids[place])} at token "
        f"{place - int(tokens.offsets[document])}, outside of the vocabulary of {size} ids",
        hint="nothing was published; the tokenizer file and the engine do not agree",
    )


def reference_ids(spec: TokenizerSpec, text: str) -> list[int]:
    """The ids of one text by `tokenizers` or `tiktoken`, with BOS and EOS."""
    ids: list[int] = _open_reference(spec).encode(pa.array([text], pa.large_string())).ids.tolist()
    return ids


def _open_reference(spec: TokenizerSpec) -> Engine:
    return Engine(spec, reference(spec))


def check_equal(engine: Engine, spec: TokenizerSpec, sample: pa.LargeStringArray) -> None:
    """Compare the engine with the reference, on the first 10,000 characters of each document.

    Raises:
        BalanceError: they disagree; the message names the first such document and token.
    """
    text = pc.utf8_slice_codeunits(sample, 0, CHECKED_CHARACTERS)
    mine, trusted = engine.encode(text), _open_reference(spec).encode(text)
    for place in range(len(text)):
        ours = mine.ids[mine.offsets[place] : mine.offsets[place + 1]]
        theirs = trusted.ids[trusted.offsets[place] : trusted.offsets[place + 1]]
        if not np.array_equal(ours, theirs):
            raise _mismatch(engine, place, ours, theirs)


def _mismatch(engine: Engine, place: int, ours: np.ndarray, theirs: np.ndarray) -> BalanceError:
    shared = min(len(ours), len(theirs))
    differing = np.flatnonzero(ours[:shared] != theirs[:shared])
    first = int(differing[0]) if len(differing) else shared
    return BalanceError(
        f"{engine.encoder.name} and the reference disagree on document {place} of a sample, "
        f"from token {first} on: {ours[first : first + 4].tolist()} against "
        f"{theirs[first : first + 4].tolist()}",
        hint="nothing was published; please report it with the tokenizer file",
    )
