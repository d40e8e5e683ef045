"""Encoding the documents that became survivors because another one was retracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from strata.errors import BalanceError, InputMissingError
from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.tables.doc_set import DocumentSet, RowFilter
from strata.pipelines.tokenization.identity import named_spec
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.pipelines.tokenization.task import TokenTask, run_token_task
from strata.pipelines.tokenization.training import stored_spec
from strata.storage.layout.properties import TOKENIZER
from strata.storage.layout.records import TableFile
from strata.storage.reading.scan import group_bounds, open_parquet
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import WrittenFile
from strata.storage.writing.tiers import tier_of_table

__all__ = ["EncodedSurvivors", "encode_survivors", "tokenizer_of_table"]


@dataclass(slots=True)
class EncodedSurvivors:
    """Staged rows of `tokens` and `clean`, by table, in order of the documents."""

    files: dict[str, list[WrittenFile]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)


def tokenizer_of_table(context: StageContext) -> TokenizerSpec | None:
    """The tokenizer that wrote `tokens`: the named one, or the one that was trained then.

    A retraction does not train the tokenizer again, since all tokens would change. None where its
    file is gone.
    """
    loaded = named_spec(context.settings.tokenize, context.store)
    fingerprint = context.corpus.table("tokens").latest_property(TOKENIZER)
    if loaded is not None or fingerprint is None:
        return loaded
    try:
        return stored_spec(context, fingerprint)
    except InputMissingError:
        return None


def encode_survivors(
    context: StageContext, spec: TokenizerSpec, promoted: NDArray[np.int64]
) -> EncodedSurvivors:
    """Encode some documents into files below the staging folder.

    Args:
        context: the corpus.
        spec: the tokenizer of the table.
        promoted: int64[n], the documents, ascending.

    Raises:
        BalanceError: one of them is not in `documents`, or the engine disagrees with its reference.
    """
    tasks = [_task(context, parts, promoted) for parts in _parts(context, promoted)]
    context.progress.start("retract", "encode new survivors", len(tasks))
    results = run_tasks(context.spark(), partial(run_token_task, spec=spec), tasks)
    context.progress.finish()
    encoded = EncodedSurvivors()
    for result in results:
        encoded.counters.add(result.counters)
        for file in result.files:
            encoded.files.setdefault(file.table, []).append(file)
    seen = sum(result.survivors.rows_in for result in results)
    if seen != len(promoted):
        raise BalanceError(
            f"{len(promoted):,} documents survive now, but {seen:,} of them are in `documents`",
            hint="run `strata storage verify`; nothing was published",
        )
    return encoded


def _task(
    context: StageContext, parts: Sequence[RowGroups], promoted: NDArray[np.int64]
) -> TokenTask:
    settings = context.settings
    tables = ("tokens", "clean") if settings.dedup.write_clean else ("tokens",)
    folder = context.staging
    return TokenTask(
        parts=tuple(parts),
        ledger=(),
        cuts=(),
        storage=context.storage_options,
        folders={name: folder / name for name in tables},
        # Staged rows are partitioned only when they are written to the table.
        layouts={name: tier_of_table(settings, name).layout.unpartitioned for name in tables},
        check_documents=settings.tokenize.check_documents,
        only=promoted,
    )


def _parts(context: StageContext, promoted: NDArray[np.int64]) -> list[list[RowGroups]]:
    """Row groups of `documents` that may hold one of the documents; one task per file."""
    row_filter = RowFilter(("doc_id",), DocumentSet.of(promoted))
    files = row_filter.files("documents", context.corpus.table("documents").files())
    storage = context.storage_options

    def find(file: TableFile) -> tuple[int, ...]:
        with open_parquet(open_store(storage), file.location) as scan:
            bounds = group_bounds(scan.metadata, "doc_id")
        low = np.searchsorted(promoted, bounds[:, 0])
        high = np.searchsorted(promoted, bounds[:, 1], "right")
        return tuple(np.flatnonzero(high > low).tolist())

    groups = run_tasks(context.spark(), find, files)
    return [
        [RowGroups(DataFile.of(file), chosen)]
        for file, chosen in zip(files, groups, strict=True)
        if chosen
    ]
