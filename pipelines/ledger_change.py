"""What a new ledger takes back: documents that the one before kept, and that are removed now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.ledger_lookup import LedgerFile, files_of_ledger, removed_ids
from strata.pipelines.stage import StageContext
from strata.pipelines.tasks import run_tasks
from strata.storage.parquet import WrittenFile
from strata.storage.store import StorageOptions, open_store

__all__ = ["DisplacedSurvivors", "displaced_survivors"]

SHOWN = 10


@dataclass(frozen=True, slots=True)
class DisplacedSurvivors:
    """Survivors of the ledger before that lost their place.

    Attributes:
        number: how many.
        first: the ``doc_id`` of the first few, ascending.
    """

    number: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    new: LedgerFile
    old: tuple[LedgerFile, ...]
    last_doc_id: int
    storage: StorageOptions


def displaced_survivors(
    context: StageContext, files: Sequence[WrittenFile], last_doc_id: int
) -> DisplacedSurvivors:
    """Compare a written ledger with the published one.

    New documents that link two clusters leave one survivor where there were two, and under other
    rules than "first" a new document may be the better survivor.

    Args:
        context: the corpus.
        files: the new ledger, not yet published.
        last_doc_id: the largest document that the published ledger knows.
    """
    old = files_of_ledger(context.corpus.table("clusters").files())
    tasks = [
        _Task(LedgerFile(file.url, 0, last_doc_id), old, last_doc_id, context.storage_options)
        for file in files
        if last_doc_id >= 0
    ]
    found = run_tasks(context.spark(), _compare, tasks)
    first = sorted(doc_id for each in found for doc_id in each.first)
    return DisplacedSurvivors(sum(each.number for each in found), tuple(first[:SHOWN]))


def _compare(task: _Task) -> DisplacedSurvivors:
    store = open_store(task.storage)
    removed = removed_ids([task.new], 0, task.last_doc_id, store)
    if not len(removed):
        return DisplacedSurvivors(0, ())
    before = removed_ids(task.old, int(removed[0]), int(removed[-1]), store)
    lost = np.setdiff1d(removed, before, assume_unique=True)
    return DisplacedSurvivors(len(lost), tuple(lost[:SHOWN].tolist()))
