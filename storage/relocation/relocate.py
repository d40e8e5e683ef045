"""Relocating a corpus: planned, staged beside what is there, checked, and committed at once.

Until the commit the catalog and every file that it knows are as they were; what is staged may be
deleted, or be written again by a second attempt. The commit is one transaction of the catalog.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID, uuid5

from strata.errors import ConflictError, SettingsError
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.moved_check import check_moved
from strata.storage.relocation.destinations import (
    Destinations,
    Kind,
    Listings,
    PlacedRoot,
    find_roots,
)
from strata.storage.relocation.roots import Roots, root_of
from strata.storage.relocation.staging import MovedTable, stage_table
from strata.storage.relocation.tables import in_parallel, read_table
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.places import metadata_number

__all__ = ["Relocation", "commit", "plan_relocation", "stage"]


@dataclass(frozen=True, slots=True)
class Relocation:
    """What a relocation changes.

    Attributes:
        roots: where what the tables name lies now.
        placed: the roots that data files are named in, and those in their place.
        tables: the tables whose metadata changes.
        kind: what was done to the folders; tables of a copy get ids of their own.
        former: the metadata file of every table that the catalog names now.
        pointers: the one that it names afterwards.
        newest: name of the newest metadata file that each table has in the warehouse.
        new_id: the identity that a copy gets; another attempt gives the same.
    """

    roots: Roots
    placed: tuple[PlacedRoot, ...]
    tables: tuple[MovedTable, ...]
    kind: Kind
    former: Mapping[str, str]
    pointers: Mapping[str, str]
    newest: Mapping[str, str]
    new_id: str

    @property
    def moved(self) -> list[PlacedRoot]:
        """The roots in whose place others are."""
        return [each for each in self.placed if each.old != each.new]

    @property
    def rewritten(self) -> int:
        """Number of metadata files that are written anew."""
        return sum(len(table.rewritten) for table in self.tables)


def plan_relocation(corpus: Corpus, destinations: Destinations) -> Relocation:
    """Find where everything is that the tables of a corpus name; changes nothing.

    Raises:
        ConflictError: metadata or data is not where the settings say; or it is to be a copy, and
            something would stay where the original has it.
        InputError: a metadata file is damaged.
        SettingsError: the catalog is not a SQL database.
    """
    pointers = corpus.pointers()
    warehouses = Roots(dict(_warehouses(pointers, destinations)))
    if all(old == new for old, new in warehouses.moved.items()):
        # It has been relocated, or it is the original.
        destinations = replace(destinations, kind=Kind.MOVE)
    _refuse_absent(corpus.store, pointers, warehouses)
    tables = [
        read_table(corpus.store, name, pointer, warehouses) for name, pointer in pointers.items()
    ]
    listings = Listings(corpus.store, corpus.name)
    placed = find_roots(destinations, tables, warehouses, listings)
    found = {each.old: each.new for each in placed}
    metadata = [
        PlacedRoot(old, new, 0, 0) for old, new in warehouses.moved.items() if old not in found
    ]
    roots = Roots({**found, **warehouses.moved})
    key = _key(roots, pointers, destinations)
    is_copy = destinations.kind is Kind.COPY
    moved = [MovedTable.of(table, roots, key, new_uuid=is_copy) for table in tables]
    changed = tuple(each for each in moved if each.switch is not None)
    final = pointers | {each.table.name: each.wanted for each in changed}
    new_id = uuid5(key, "corpus").hex
    return Relocation(
        roots=roots,
        placed=(*metadata, *placed),
        tables=changed,
        kind=destinations.kind,
        former=pointers,
        pointers=final,
        newest=_newest(corpus, listings.sizes(corpus.warehouse)),
        new_id=new_id,
    )


def stage(corpus: Corpus, relocation: Relocation) -> None:
    """Write the moved metadata, read it back, and compare it with what it is a copy of.

    Raises:
        BalanceError: a moved copy says something else; nothing refers to it.
        ConflictError: a file that the moved metadata refers to is not there, or has another size.
        MachineError: a place cannot be written.
        TransientError: a store did not answer.
    """
    for table in relocation.tables:
        stage_table(corpus.store, table, relocation.roots)
    # Listed anew, since this is what the commit relies on.
    listings = Listings(corpus.store, corpus.name)
    present = {
        url: size
        for root in dict.fromkeys(relocation.roots.moved.values())
        for url, size in listings.sizes(root).items()
    }
    check = partial(_check, corpus.store, relocation.roots, present)
    in_parallel(check, relocation.tables)


def commit(corpus: Corpus, relocation: Relocation, properties: Mapping[str, str | None]) -> None:
    """Have the catalog name the moved metadata of all tables, and change properties of the corpus.

    Raises:
        ConflictError: another run published to a table meanwhile; nothing was changed.
        TransientError: the catalog did not answer.
    """
    switches = [table.switch for table in relocation.tables]
    corpus.switch_pointers([each for each in switches if each is not None], properties)


def _warehouses(
    pointers: Mapping[str, str], destinations: Destinations
) -> Iterator[tuple[Url, Url]]:
    for table, pointer in pointers.items():
        root = root_of(pointer, destinations.corpus, table)
        if root is None:
            raise ConflictError(
                f"the metadata of table {destinations.corpus}.{table} is at {pointer}, where "
                "Strata puts none",
                hint="drop that table from the catalog, or register it from another place",
            )
        given = destinations.given.get(root, destinations.warehouse)
        if given != destinations.warehouse:
            raise SettingsError(
                f"{root} was the warehouse, and cannot become {given}",
                hint=f"leave it out: it becomes the warehouse {destinations.warehouse}",
            )
        yield root, destinations.warehouse


def _refuse_absent(store: Store, pointers: Mapping[str, str], roots: Roots) -> None:
    moved = {name: Url.parse(roots.move(pointer)) for name, pointer in pointers.items()}
    there = in_parallel(store.exists, moved.values())
    absent = [name for name, is_there in zip(moved, there, strict=True) if not is_there]
    if absent:
        raise ConflictError(
            f"the metadata of {len(absent)} of {len(moved)} tables is not in the warehouse of the "
            f"settings; the first is {moved[absent[0]]}, which the catalog has at "
            f"{pointers[absent[0]]}",
            hint="check `warehouse` and [catalog], and that the move or copy is complete",
        )


def _newest(corpus: Corpus, listed: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for url in listed:
        table, _, rest = url.removeprefix(f"{corpus.warehouse / corpus.name}/").partition("/")
        name = rest.removeprefix("metadata/")
        number = metadata_number(name) if rest != name and "/" not in name else None
        if number is not None and number > (metadata_number(found.get(table, "")) or -1):
            found[table] = name
    return found


def _key(roots: Roots, pointers: Mapping[str, str], destinations: Destinations) -> UUID:
    """Names one relocation by what it does; another attempt at it has the same key."""
    facts = [
        sorted((str(old), str(new)) for old, new in roots.moved.items()),
        sorted(pointers.items()),
        destinations.kind,
    ]
    return UUID(bytes=hashlib.sha256(json.dumps(facts).encode()).digest()[:16])


def _check(store: Store, roots: Roots, present: Mapping[str, int], table: MovedTable) -> None:
    switch = table.switch
    assert switch is not None
    before, after = Url.parse(table.before), Url.parse(switch.wanted)
    referred = check_moved(store, before, after, table.mover(roots))
    for location, size in referred.items():
        found = present.get(str(Url.parse(location)))
        if found != size:
            raise ConflictError(
                f"{location} of table {table.table.name} "
                + ("is not there" if found is None else f"has {found} bytes, not {size}"),
                hint="bring it back, and run the same command again; nothing has changed yet",
            )
