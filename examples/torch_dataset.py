"""Tokens for training with PyTorch: ``python examples/torch_dataset.py SETTINGS`` after a run.

Only the last lines need torch, which Strata does not install; the tests of Strata run all but
those. Workers of a loader, and ranks of a job, each read documents of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import strata


@dataclass(frozen=True)
class TokenSequences:
    """Sequences of one length, of the tokens of all documents one after the other.

    Attributes:
        settings: the settings file.
        length: tokens in a sequence; what is left over at the end is dropped.
    """

    settings: str
    length: int

    def read(self, part: int = 0, parts: int = 1) -> Iterator[np.ndarray]:
        """The sequences of every ``parts``-th document from ``part`` on: int64[length] each."""
        rest = np.empty(0, np.int64)
        # Opened here, in the process that reads: an open corpus does not travel.
        with strata.open(self.settings) as corpus:
            start = 0
            for batch in corpus.table("tokens").to_arrow_batches(["tokens"]):
                rows = range((part - start) % parts, batch.num_rows, parts)
                start += batch.num_rows
                chosen = [batch["tokens"][row].values.to_numpy() for row in rows]
                rest = np.concatenate([rest, *chosen]).astype(np.int64)
                whole = len(rest) // self.length
                yield from rest[: whole * self.length].reshape(whole, self.length)
                rest = rest[whole * self.length :]


if __name__ == "__main__":
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class TokenDataset(IterableDataset):
        """The sequences as PyTorch wants them."""

        def __iter__(self) -> Iterator[torch.Tensor]:
            """Those of this worker."""
            worker = get_worker_info()
            place = (worker.id, worker.num_workers) if worker else (0, 1)
            yield from map(torch.from_numpy, TokenSequences(sys.argv[1], 128).read(*place))

    for sequences in DataLoader(TokenDataset(), batch_size=4, num_workers=2):
        print(sequences.shape)
