"""Encoders of Arrow text: the native one, and the reference libraries that it is checked against.

All of them treat the literal text of a special token inside a document as ordinary text; added
tokens that are not special are still recognized. The tokens of a batch are flat arrays, in which
BOS and EOS are put around each document.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import InputError
from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.tokenization.formats import (
    ENCODINGS,
    open_encoding,
    open_model,
    rank_file,
    without_special_tokens,
)
from strata.pipelines.tokenization.spec import TokenizerKind, TokenizerSpec

if TYPE_CHECKING:
    import gigatoken

__all__ = [
    "Encoder",
    "GigatokenEncoder",
    "TiktokenEncoder",
    "TokenizersEncoder",
    "Tokens",
    "framed",
    "reference",
]

# gigatoken keeps every piece of text that it has seen: 70 bytes a piece, 3 GB in 360 MB of text
# without repetition. A model is reloaded when the process has grown by this much.
CACHE_BYTES = 128_000_000
# Number of documents that a reference library turns into Python objects at once.
REFERENCE_BATCH = 256
RESIDENT = Path("/proc/self/statm")
PAGE_BYTES = 4096
NONE = -1


class Encoder(ABC):
    """Text to ids, without BOS and EOS."""

    name: str

    @abstractmethod
    def encode(self, text: pa.LargeStringArray) -> Tokens:
        """Encode n documents, without nulls."""


class GigatokenEncoder(Encoder):
    """The native engine: arrays in, arrays out, without a copy of the text.

    Raises:
        RuntimeError: gigatoken does not support the model.
    """

    name = "gigatoken"

    def __init__(self, spec: TokenizerSpec, cache_bytes: int = CACHE_BYTES) -> None:
        self._spec = spec
        self._cache_bytes = cache_bytes
        if spec.kind is TokenizerKind.HUGGING_FACE:
            self._data = without_special_tokens(spec.data)
        else:
            self._data = spec.data
        self._model = _gigatoken(spec, self._data)
        self._resident = _resident_bytes()

    def encode(self, text: pa.LargeStringArray) -> Tokens:
        """Encode a batch on the calling thread; a worker has one core."""
        import awkward
        from awkward.contents import ListOffsetArray, NumpyArray
        from awkward.index import Index64

        if not len(text):
            return Tokens(np.zeros(1, np.int64), np.empty(0, np.int32))
        if _resident_bytes() - self._resident > self._cache_bytes:
            self._renew()
        buffers = text_buffers(text)
        chars = NumpyArray(buffers.data, parameters={"__array__": "char"})
        strings = {"__array__": "string"}
        layout = ListOffsetArray(Index64(buffers.offsets), chars, parameters=strings)
        encoded = self._model.encode_batch(awkward.Array(layout), parallel=False).layout
        offsets = np.asarray(encoded.offsets.data).astype(np.int64, copy=False)
        ids = np.asarray(encoded.content.data)[offsets[0] : offsets[-1]]
        return Tokens(offsets - offsets[0], ids.view(np.int32))

    def _renew(self) -> None:
        # The old model and its cache are freed before the new one is loaded.
        del self._model
        _return_freed_memory()
        self._model = _gigatoken(self._spec, self._data)
        self._resident = _resident_bytes()


class TokenizersEncoder(Encoder):
    """Hugging Face's `tokenizers`: the reference for a ``tokenizer.json``."""

    name = "tokenizers"

    def __init__(self, spec: TokenizerSpec) -> None:
        self._model = open_model(spec.data, "the tokenizer")

    def encode(self, text: pa.LargeStringArray) -> Tokens:
        """Encode a batch; the library makes Python objects of it."""
        lists: list[NDArray[np.int32]] = []
        for start in range(0, len(text), REFERENCE_BATCH):
            some = text.slice(start, REFERENCE_BATCH).to_pylist()
            with _named_panics(self.name, some):
                encoded = self._model.encode_batch_fast(some, add_special_tokens=False)
            lists += [np.asarray(entry.ids, np.int32) for entry in encoded]
        return _joined(lists)


class TiktokenEncoder(Encoder):
    """OpenAI's `tiktoken`: the reference for a rank file."""

    name = "tiktoken"

    def __init__(self, spec: TokenizerSpec) -> None:
        self._model = open_encoding(spec.data, str(spec.encoding), "of the tokenizer")

    def encode(self, text: pa.LargeStringArray) -> Tokens:
        """Encode a batch, document by document."""
        encode = self._model.encode_ordinary
        lists: list[NDArray[np.int32]] = []
        for entry in text:
            document = entry.as_py()
            with _named_panics(self.name, [document]):
                lists.append(np.asarray(encode(document), np.int32))
        return _joined(lists)


@contextmanager
def _named_panics(library: str, texts: Sequence[str]) -> Iterator[None]:
    """Turn a panic of a library in Rust, which is no `Exception`, into an error with a remedy.

    Their regular expressions give up in white space of a million characters and more.

    Raises:
        InputError: the library cannot encode one of the texts.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        longest = max(map(len, texts))
        raise InputError(
            f"{library} cannot encode one of {len(texts)} documents, the longest of which has "
            f"{longest:,} characters and begins with {max(texts, key=len)[:40]!r}: {error}",
            hint="lower shard.max_document_mb, retract the document, or use a tokenizer that the "
            "native engine can load",
        ) from None


@lru_cache(maxsize=2)
def reference(spec: TokenizerSpec) -> Encoder:
    """The library that defines what a specification means: slow, and loaded once per process."""
    return {
        TokenizerKind.HUGGING_FACE: TokenizersEncoder,
        TokenizerKind.TIKTOKEN: TiktokenEncoder,
    }[spec.kind](spec)


def _gigatoken(spec: TokenizerSpec, data: bytes) -> gigatoken.Tokenizer:
    import gigatoken

    if spec.kind is TokenizerKind.HUGGING_FACE:
        return gigatoken.Tokenizer.from_json(data)
    with rank_file(data) as path:
        return gigatoken.Tokenizer.from_tiktoken(path, ENCODINGS[str(spec.encoding)], {})


def _return_freed_memory() -> None:
    """Return freed memory to the system; glibc would keep the pages of a cache's small pieces."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system has no /proc."""
    if not RESIDENT.exists():
        return 0
    return int(RESIDENT.read_text().split()[1]) * PAGE_BYTES


def _joined(lists: Sequence[NDArray[np.int32]]) -> Tokens:
    lengths = np.fromiter(map(len, lists), np.int64, count=len(lists))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Tokens(offsets, np.concatenate([np.empty(0, np.int32), *lists]))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of n documents: document i has ``ids[offsets[i] : offsets[i + 1]]``.

    Attributes:
        offsets: int64[n + 1], from 0.
        ids: int32[m].
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]


def framed(tokens: Tokens, bos_id: int | None, eos_id: int | None) -> Tokens:
    """The tokens with BOS before and EOS after each document, where they have an id."""
    extra = (bos_id is not None) + (eos_id is not None)
    if not extra:
        return tokens
    bos, eos = (NONE if number is None else number for number in (bos_id, eos_id))
    offsets = tokens.offsets + extra * np.arange(len(tokens.offsets), dtype=np.int64)
    ids = np.empty(int(offsets[-1]), np.int32)
    _copy(tokens.offsets, tokens.ids, bos, eos, ids)
    return Tokens(offsets, ids)


# A NumPy mask takes 5 % of the time of encoding; a copy per document would take half of it.
@numba.njit(cache=True)
def _copy(
    offsets: NDArray[np.int64], ids: NDArray[np.int32], bos: int, eos: int, out: NDArray[np.int32]
) -> None:
    place = 0
    for document in range(len(offsets) - 1):
        if bos != NONE:
            out[place] = bos
            place += 1
        length = offsets[document + 1] - offsets[document]
        out[place : place + length] = ids[offsets[document] : offsets[document + 1]]
        place += length
        if eos != NONE:
            out[place] = eos
            place += 1
