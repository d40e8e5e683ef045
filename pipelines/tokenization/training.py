"""Training a byte-level BPE (Sennrich et al. 2016, over bytes as in GPT-2) on a corpus.

The sample of survivors that it is trained on does not depend on files or partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import ConflictError, InputError
from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.staging import staging_folder
from strata.pipelines.execution.tasks import run_tasks, task_stem
from strata.pipelines.tables.survivors import SurvivorCounts, SurvivorFiles, cut_survivors
from strata.pipelines.tokenization.identity import training_of
from strata.pipelines.tokenization.spec import TokenizerSpec, spec_from_json
from strata.settings import TokenizeSettings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout, TableWriter, WrittenFile
from strata.storage.writing.tiers import tier_of_table

if TYPE_CHECKING:
    from strata.pipelines.tokenization.long_pieces import TrainingTexts

__all__ = ["END_OF_TEXT", "TrainedSpec", "stored_spec", "train_bpe", "trained_spec"]

END_OF_TEXT = "<|endoftext|>"
ITERATOR_BATCH = 1024
BATCH_BYTES = 8_000_000
MIX = np.uint64(0x9E3779B97F4A7C15)


def train_bpe(texts: pa.LargeStringArray, vocab_size: int) -> bytes:
    """Train on texts; the same texts in the same order give the same bytes.

    Args:
        texts: n documents.
        vocab_size: wanted number of ids, including the special token and 256 bytes; a small text
            gives fewer.

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


@dataclass(frozen=True, slots=True)
class TrainingSampleTask:
    """Row groups to sample: documents whose hash is in the lowest ``share`` of all hashes."""

    parts: tuple[RowGroups, ...]
    ledger: tuple[DataFile, ...]
    cuts: tuple[DataFile, ...]
    share: float
    folder: Url
    layout: ParquetLayout
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class TrainedSpec:
    """A new tokenizer, and the texts that it was trained on."""

    spec: TokenizerSpec
    sample: TrainingTexts


def trained_spec(
    context: StageContext,
    remaining: SurvivorFiles,
    fingerprints: Sequence[str],
    settings: TokenizeSettings,
) -> TrainedSpec:
    """Train a byte-level BPE on a sample of the survivors and store it beside the tables.

    Args:
        context: the corpus.
        remaining: the survivors.
        fingerprints: the files of `fingerprints`, which say how much text there is.
        settings: how it is trained and used.

    Raises:
        InputError: there are no survivors to train on.
    """
    from strata.pipelines.tokenization.long_pieces import cut_long_pieces

    folder = staging_folder(context)
    layout, training = tier_of_table(context.settings, "clean").layout, training_of(settings)
    share = min(1.0, training.sample_mb * 1e6 / max(_text_bytes(context, fingerprints), 1))
    ledger, cuts = remaining.ledger, remaining.cuts
    tasks = [
        TrainingSampleTask(some, ledger, cuts, share, folder, layout, context.storage_options)
        for some in remaining.parts
    ]
    context.progress.start("tokenize", "sample survivors, train", len(tasks))
    files = [file for some in run_tasks(context.spark(), _sample, tasks) for file in some]
    sample = cut_long_pieces(_read(context, files, int(training.sample_mb * 1e6)))
    data = train_bpe(sample.texts, training.vocab_size)
    spec = spec_from_json(data, settings)
    context.store.write_bytes(_place(context, spec.fingerprint), data)
    for file in files:
        context.store.delete(Url.parse(file.url))
    context.progress.finish()
    return TrainedSpec(spec, sample)


def stored_spec(context: StageContext, fingerprint: str) -> TokenizerSpec:
    """A tokenizer that an earlier run trained.

    Raises:
        InputMissingError: its file is missing.
        ConflictError: with the present settings it would give other ids.
    """
    place = _place(context, fingerprint)
    spec = spec_from_json(context.store.read_bytes(place), context.settings.tokenize)
    if spec.fingerprint != fingerprint:
        raise ConflictError(
            f"{place} is not the tokenizer that wrote `tokens`",
            hint="put the file back, or run `strata tokenize` to encode all survivors anew",
        )
    return spec


def _place(context: StageContext, fingerprint: str) -> Url:
    home = Url.parse(context.settings.warehouse) / context.settings.corpus / "tokenizers"
    return home / f"{fingerprint}.json"


def _text_bytes(context: StageContext, fingerprints: Sequence[str]) -> int:
    storage = context.storage_options

    def total(url: str) -> int:
        batches = read_batches(open_store(storage), Url.parse(url), ["n_bytes"], None, BATCH_BYTES)
        return sum(int(batch.column(0).to_numpy().sum()) for batch in batches)

    return sum(run_tasks(context.spark(), total, fingerprints))


def _sample(task: TrainingSampleTask) -> list[WrittenFile]:
    store = open_store(task.storage)
    writer = TableWriter(store, task.folder, "documents", task.layout, task_stem("sample"))
    limit = np.uint64(min(task.share * 2.0**64, 2.0**64 - 2048))
    for batch in cut_survivors(task.parts, task.ledger, task.cuts, store, SurvivorCounts()):
        hashed = batch.column("doc_id").to_numpy().view(np.uint64) * MIX
        hashed = (hashed ^ (hashed >> np.uint64(32))) * MIX
        chosen = hashed <= limit
        if chosen.any():
            writer.write(batch.filter(pa.array(chosen)))
    return writer.close()


def _read(context: StageContext, files: list[WrittenFile], limit: int) -> pa.LargeStringArray:
    columns = ["doc_id", "text"]
    batches = [
        batch
        for file in files
        for batch in read_batches(context.store, Url.parse(file.url), columns, None, BATCH_BYTES)
    ]
    if not batches:
        raise InputError(
            "there is no document to train a tokenizer on",
            hint="check the inputs, or name a tokenizer with --set tokenize.tokenizer=FILE",
        )
    table = pa.Table.from_batches(batches).sort_by("doc_id")
    text = table["text"].combine_chunks()
    size = np.cumsum(pc.binary_length(text).to_numpy())
    return text.slice(0, max(1, int(np.searchsorted(size, limit, side="right"))))
