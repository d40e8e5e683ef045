"""Training a byte-level BPE (Sennrich et al. 2016, over bytes as in GPT-2)."""

from __future__ import annotations

import pyarrow as pa

from strata.errors import InputError

__all__ = ["END_OF_TEXT", "train_bpe"]

END_OF_TEXT = "<|endoftext|>"
ITERATOR_BATCH = 1024


def train_bpe(texts: pa.LargeStringArray, vocab_size: int) -> bytes:
    """Train on texts; the same texts in the same order give the same bytes.

    Args:
        texts: n documents.
        vocab_size: ids wanted, special token and 256 bytes included; a small text gives fewer.

    Returns:
        The bytes of a ``tokenizer.json``, whose special token is ``<|endoftext|>``.

    Raises:
        InputError: there is no text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if not len(texts):
        raise InputError(
            "there is no text to train a tokenizer on",
            hint="check the inputs, or name a tokenizer with tokenize.tokenizer",
        )
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    starts = range(0, len(texts), ITERATOR_BATCH)
    batches = (texts.slice(start, ITERATOR_BATCH).to_pylist() for start in starts)
    model.train_from_iterator(batches, trainer)
    data: bytes = model.to_str().encode()
    return data
