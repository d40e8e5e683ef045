"""The check of a sample of every job against the library that defines the tokenizer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import BalanceError
from strata.pipelines.tokenizer_encoders import reference
from strata.pipelines.tokenizer_engine import Engine
from strata.pipelines.tokenizer_spec import TokenizerSpec

__all__ = ["check_equal", "reference_ids"]

# A reference encodes 3 MB/s, so of a long document only the beginning is compared: 64 documents of
# each task then take 0.2 s at most.
CHECKED_CHARACTERS = 10_000


def reference_ids(spec: TokenizerSpec, text: str) -> list[int]:
    """The ids of one text by `tokenizers` or `tiktoken`, with BOS and EOS."""
    ids: list[int] = _open(spec).encode(pa.array([text], pa.large_string())).ids.tolist()
    return ids


def _open(spec: TokenizerSpec) -> Engine:
    return Engine(spec, reference(spec))


def check_equal(engine: Engine, spec: TokenizerSpec, sample: pa.LargeStringArray) -> None:
    """Compare the engine with the reference, on the first 10,000 characters of each document.

    Raises:
        BalanceError: they disagree; names the first document and token where they do.
    """
    text = pc.utf8_slice_codeunits(sample, 0, CHECKED_CHARACTERS)
    mine, trusted = engine.encode(text), _open(spec).encode(text)
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
