"""Whether a table still belongs to the documents and settings that a stage stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata.errors import ConflictError
from strata.pipelines.execution.data_files import DataFile, RemovedBy, data_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.lineage.keys import (
    cuts_are_current,
    dedup_key,
    is_contained_current,
)
from strata.storage.layout.properties import CUT_CONTAINED, CUT_DOCUMENTS, CUT_LEDGER

if TYPE_CHECKING:
    from strata.storage.tables.catalog import Corpus

__all__ = [
    "cut_files",
    "fitting_cuts",
    "ledger_files",
]

TABLES_OF_CUTS = (
    (CUT_DOCUMENTS, "documents"),
    (CUT_LEDGER, "clusters"),
    (CUT_CONTAINED, "contained"),
)


def cut_files(context: StageContext, removals: str) -> tuple[DataFile, ...]:
    """The files of the cuts in the documents that remain, given the key of these.

    Raises:
        ConflictError: the cuts belong to another ledger or to other settings.
    """
    if not cuts_are_current(context, removals):
        raise ConflictError(
            "the table `cuts` does not belong to the present ledger and [dedup] settings",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    return data_files(context.corpus.table("cuts").files())


def fitting_cuts(corpus: Corpus) -> tuple[DataFile, ...]:
    """The files of the cuts, after checking that they are of the present documents and ledger.

    Raises:
        ConflictError: they are not.
    """
    cuts = corpus.table("cuts")
    files = data_files(cuts.files())
    if files:
        for name, table in TABLES_OF_CUTS:
            if cuts.latest_property(name) != (corpus.table(table).content_key or ""):
                raise ConflictError(
                    f"the table `cuts` does not belong to the present `{table}`",
                    hint="run `strata dedup` first",
                )
    return files


def ledger_files(context: StageContext) -> tuple[DataFile, ...]:
    """The files of the ledger and of `contained`: all that say which documents are removed.

    Raises:
        ConflictError: one of them is not that of the present documents and settings.
    """
    clusters = context.corpus.table("clusters")
    if clusters.content_key != dedup_key(context):
        raise ConflictError(
            "the ledger does not belong to the present documents and [dedup] settings",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    if not is_contained_current(context):
        raise ConflictError(
            "the table `contained` does not belong to the present documents and items",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    contained = context.corpus.table("contained")
    return (
        *data_files(clusters.files(), reason=RemovedBy.CLUSTERS),
        *data_files(contained.files(), reason=RemovedBy.CONTAINED),
    )
