"""Whether a table still belongs to the documents and settings that a stage works with.

There are two checks of `cuts`. A stage checks that it is what the settings give, by its key, which
includes the granularities that they ask for. An export has no settings: it checks that the tables
that it joins belong together, which the properties of `cuts` record.
"""

from __future__ import annotations

from strata.errors import ConflictError
from strata.pipelines.execution.data_files import DataFile, RemovedBy, data_files
from strata.pipelines.lineage.keys import NO_ITEMS, wants_cuts
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.state import Tables
from strata.storage.layout.properties import CUT_CONTAINED, CUT_DOCUMENTS, CUT_LEDGER
from strata.storage.tables.table import TableReader

__all__ = [
    "contained_files",
    "cut_files",
    "cuts_are_current",
    "fitting_cuts",
    "is_contained_current",
    "ledger_files",
]

TABLES_OF_CUTS = (
    (CUT_DOCUMENTS, "documents"),
    (CUT_LEDGER, "clusters"),
    (CUT_CONTAINED, "contained"),
)


def is_contained_current(contained: TableReader, wanted: str) -> bool:
    """Whether `contained` has the wanted key; without benchmark items it may be missing."""
    present = contained.content_key
    return present == wanted or (present is None and wanted == NO_ITEMS)


def cuts_are_current(upstream: Upstream) -> bool:
    """Whether `cuts` is that of the present survivors; where none are wanted it may be missing."""
    present = upstream.table("cuts").content_key
    return present == upstream.cuts_key or (present is None and not wants_cuts(upstream.settings))


def cut_files(upstream: Upstream) -> tuple[DataFile, ...]:
    """The files of the cuts of the present survivors.

    Raises:
        ConflictError: the cuts belong to another ledger or to other settings.
    """
    if not cuts_are_current(upstream):
        raise ConflictError(
            "the table `cuts` does not belong to the present ledger and [dedup] settings",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    return data_files(upstream.table("cuts").files())


def fitting_cuts(tables: Tables) -> tuple[DataFile, ...]:
    """The files of the cuts, once checked to belong to the documents and ledger in `tables`.

    Raises:
        ConflictError: they do not.
    """
    cuts = tables.table("cuts")
    files = data_files(cuts.files())
    if files:
        for name, table in TABLES_OF_CUTS:
            if cuts.latest_property(name) != (tables.table(table).content_key or ""):
                raise ConflictError(
                    f"the table `cuts` does not belong to the present `{table}`",
                    hint="run `strata dedup` first",
                )
    return files


def ledger_files(upstream: Upstream) -> tuple[DataFile, ...]:
    """The files of the ledger and of `contained`, which say which documents are removed.

    Raises:
        ConflictError: one of the tables does not belong to the documents and settings.
    """
    clusters = upstream.table("clusters")
    if clusters.content_key != upstream.ledger_key:
        raise ConflictError(
            "the ledger does not belong to the present documents and [dedup] settings",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    ledger = data_files(clusters.files(), reason=RemovedBy.CLUSTERS)
    return (*ledger, *contained_files(upstream))


def contained_files(upstream: Upstream) -> tuple[DataFile, ...]:
    """The files of `contained`.

    Raises:
        ConflictError: they do not belong to the documents, benchmark items and settings.
    """
    contained = upstream.table("contained")
    if not is_contained_current(contained, upstream.contained_key):
        raise ConflictError(
            "the table `contained` does not belong to the present documents and items",
            hint="run `strata dedup` first, or `strata run` for all stages",
        )
    return data_files(contained.files(), reason=RemovedBy.CONTAINED)
