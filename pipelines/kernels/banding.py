"""Locality-sensitive hashing: which documents are worth comparing.

Two documents whose signature bytes agree with probability p share at least one band key with
probability ``1 - (1 - p**rows)**bands`` (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets,
section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strata.errors import SettingsError

__all__ = [
    "SIGNATURE_BYTES",
    "SKETCH_VERSION",
    "SKETCH_WORDS",
    "Banding",
    "band_keys",
    "choose_banding",
]

SIGNATURE_BYTES: Final = 256
SKETCH_WORDS: Final = SIGNATURE_BYTES // 64
"""Length of a compact sketch, one bit of each signature byte, in 64-bit words."""
SKETCH_VERSION: Final = 1
"""Incremented whenever signatures change, so that old ones are never compared with new ones."""
MISS_RATE: Final = 0.001
MAX_ROWS: Final = 6

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_FINISHER: Final = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Banding:
    """How a signature is cut into bands.

    Raises:
        SettingsError: there are no bands or rows, or more than a signature has bytes.
    """

    bands: int
    rows: int

    def __post_init__(self) -> None:
        if min(self.bands, self.rows) < 1 or self.bands * self.rows > SIGNATURE_BYTES:
            raise SettingsError(
                f"dedup.bands = {self.bands} and dedup.rows = {self.rows} do not fit a signature of"
                f" {SIGNATURE_BYTES} bytes",
                hint=f"choose both >= 1 with bands * rows <= {SIGNATURE_BYTES}",
            )

    def probability(self, jaccard: float) -> float:
        """P(two documents of this similarity share a band key)."""
        agree = jaccard + (1 - jaccard) / 256
        return float(1 - (1 - agree**self.rows) ** self.bands)


def choose_banding(threshold: float) -> Banding:
    """The fewest bands that miss a pair at the threshold in at most 1 of 1,000, with up to 6 rows.

    More rows keep dissimilar documents out of a bucket but need more bands, and each band is
    shuffled; 6 rows are 48 bits, enough to keep unrelated documents apart at 10**9 documents.
    """
    for rows in range(MAX_ROWS, 1, -1):
        for bands in range(1, SIGNATURE_BYTES // rows + 1):
            banding = Banding(bands, rows)
            if banding.probability(threshold) >= 1 - MISS_RATE:
                return banding
    return Banding(SIGNATURE_BYTES, 1)


def band_keys(
    signature: NDArray[np.uint8], banding: Banding, bands: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """Band keys, int64[n, len(bands)], of signatures, uint8[n, 256]; all bands unless given.

    A key mixes the band's number with its bytes, so keys of different bands do not collide.
    """
    chosen = range(banding.bands) if bands is None else bands
    keys = np.empty((len(signature), len(chosen)), dtype=np.uint64)
    columns = np.ascontiguousarray(signature.T)
    for place, band in enumerate(chosen):
        state = np.full(len(signature), (band + 1) * int(_FINISHER) % 2**64, dtype=np.uint64)
        for row in columns[band * banding.rows : (band + 1) * banding.rows]:
            state = (state ^ row) * _MULTIPLIER
            state ^= state >> np.uint64(32)
        keys[:, place] = state * _FINISHER
    return keys.view(np.int64)
