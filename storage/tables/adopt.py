"""Making what lies in a corpus' places part of it, after somebody has looked at it."""

from __future__ import annotations

from dataclasses import dataclass

from strata.storage.contracts.url import Url
from strata.storage.tables.belonging import TableWatch
from strata.storage.tables.catalog import Corpus, Look
from strata.storage.tables.claim import id_of, mark_places
from strata.storage.tables.places import (
    Place,
    TableMarks,
    table_files,
    write_marks,
    write_unproven,
)
from strata.storage.tables.referenced_files import referenced_names

__all__ = ["AdoptedPlace", "adopt", "plan_adoption"]


@dataclass(frozen=True, slots=True)
class AdoptedPlace:
    """A place as it is found.

    Attributes:
        tier: its tier.
        folder: where it is.
        owner: whose it says that it is; empty where it says nothing.
        files: number of the files of tables there.
        n_bytes: their size.
        unreferenced: how many of them no table of the catalog refers to: garbage, once adopted.
    """

    tier: str
    folder: Url
    owner: str
    files: int
    n_bytes: int
    unreferenced: int


def plan_adoption(look: Look) -> list[AdoptedPlace]:
    """What is in each place of a corpus.

    Raises:
        IdentityError: the catalog's tables lie outside of the warehouse.
        InputMissingError: metadata of a table is missing.
    """
    needed = _references(look)
    return [_found(look, place, needed) for place in look.membership.places]


def adopt(look: Look) -> Corpus:
    """Make all places those of the catalog's corpus, with all that is in them.

    The state of the catalog counts from now on, also where the tables had come further.

    Raises:
        IdentityError: the catalog's tables lie outside of the warehouse.
        MachineError: a place cannot be written.
    """
    _references(look)
    corpus = look.corpus()
    places = look.membership.places
    for place in places:
        write_unproven(look.store, place.folder, "", ())
    mark_places(corpus, id_of(corpus), places)
    marks = TableMarks(id=corpus.id, tables=_newest(look))
    write_marks(look.store, places[0].folder, marks)
    return corpus


def _references(look: Look) -> set[str]:
    """Names of all files that the catalog's tables refer to; checks the tables too."""
    _newest(look)
    unmarked = _unmarked(look)
    return referenced_names(unmarked) if unmarked else set()


def _newest(look: Look) -> dict[str, str]:
    unmarked = _unmarked(look)
    if unmarked is None:
        return {}
    watch = TableWatch(unmarked.name, unmarked.warehouse, TableMarks())
    for name in look.tables():
        table = unmarked.table(name).existing()
        if table is not None:
            watch.loaded(name, table.metadata_location, table.location())
    return watch.seen


def _unmarked(look: Look) -> Corpus | None:
    """The catalog's tables, whatever the warehouse says of their states."""
    if look.catalog is None:
        return None
    warehouse = Url.parse(look.settings.warehouse)
    return Corpus(look.settings.corpus, warehouse, look.catalog, look.store)


def _found(look: Look, place: Place, needed: set[str]) -> AdoptedPlace:
    record = look.membership.files.records.get(place.folder)
    files = [each.file for each in table_files(look.store, place.folder)]
    return AdoptedPlace(
        tier=place.name,
        folder=place.folder,
        owner=f"{record.corpus} {record.id[:8]} of {record.warehouse}" if record else "",
        files=len(files),
        n_bytes=sum(file.size for file in files),
        unreferenced=sum(file.url.name not in needed for file in files),
    )
