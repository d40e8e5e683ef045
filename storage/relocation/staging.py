"""Staging: the moved copies of a table's metadata, beside the files that they are copies of.

Their names follow from what is moved where, so that a second attempt writes the same files again.
Nothing refers to them before the catalog does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.moved_metadata import (
    MovedManifest,
    move_locations,
    write_moved_list,
    write_moved_manifest,
)
from strata.storage.iceberg.pointers import PointerSwitch
from strata.storage.relocation.roots import Roots
from strata.storage.relocation.tables import MetadataFile, RecordedTable, in_parallel

__all__ = ["MovedTable", "stage_table"]

_VERSION = re.compile(r"(\d+)-")


@dataclass(frozen=True, slots=True)
class MovedTable:
    """What becomes of the metadata of a table.

    Attributes:
        table: the table as it is recorded.
        uuid: its new id; None where it keeps the one that it has.
        names: what takes the place of each metadata file, by its location as it is spelled; files
            that have no location inside which changes only lie elsewhere.
        rewritten: those that are written anew.
    """

    table: RecordedTable
    uuid: str | None
    names: dict[str, str]
    rewritten: frozenset[str]

    @classmethod
    def of(cls, table: RecordedTable, roots: Roots, key: UUID, *, new_uuid: bool) -> MovedTable:
        """Decide which files are written anew, and under which names."""
        uuid = str(uuid5(key, f"{table.name}/uuid")) if new_uuid else None
        moved = cls(table, uuid, {}, frozenset())
        rewritten: set[str] = set()

        def name(location: str, new_name: str, changes: bool) -> None:
            place = roots.move(location)
            if changes:
                rewritten.add(location)
                place = str(Url.parse(place).parent / new_name)
            moved.names[location] = place

        for location, files in table.manifests.items():
            changes = any(roots.move(file.location) != file.location for file in files)
            name(location, f"{uuid5(key, location)}-m0.avro", changes)
        for location, manifests in table.lists.items():
            changes = any(moved.names[each.location] != each.location for each in manifests)
            name(location, f"snap-{uuid5(key, location)}.avro", changes)
        for file in table.metadata_files:
            found = _VERSION.match(Url.parse(file.location).name)
            # A later number than that of the file that it takes the place of.
            version = int(found[1] if found else 0) + (file is table.present)
            wanted = f"{version:05d}-{uuid5(key, file.location)}.metadata.json"
            changes = moved.content(file, roots) != file.content
            name(file.location, wanted, changes)
        return cls(table, uuid, moved.names, frozenset(rewritten))

    def content(self, file: MetadataFile, roots: Roots) -> dict[str, Any]:
        """A metadata file with its locations replaced."""
        return move_locations(file.content, self.mover(roots), self.uuid)

    def mover(self, roots: Roots) -> Callable[[str], str]:
        """The new place of any location in the table's metadata."""
        return lambda location: self.names.get(location) or roots.move(location)

    @property
    def switch(self) -> PointerSwitch | None:
        """How the catalog's pointer changes; None where it stays."""
        present = self.table.present.location
        if self.wanted == present:
            return None
        return PointerSwitch(self.table.name, present, self.wanted, self.before)

    @property
    def wanted(self) -> str:
        """The metadata file that the catalog shall name."""
        return self.names[self.table.present.location]

    @property
    def before(self) -> str:
        """The present metadata file as it was, where it lies now."""
        present = self.table.present.location
        moved = Url.parse(self.names[present]).parent
        return str(moved / Url.parse(present).name)


def stage_table(store: Store, moved: MovedTable, roots: Roots) -> None:
    """Write the moved metadata of a table; what refers to a file is written after it.

    Raises:
        MachineError: a place cannot be written.
        TransientError: a store did not answer.
    """
    table, rewritten = moved.table, moved.rewritten

    def manifest(location: str) -> MovedManifest:
        target = moved.names[location]
        if location not in rewritten:
            return MovedManifest(target, None)
        source = Url.parse(roots.move(location))
        size = write_moved_manifest(store, source, Url.parse(target), roots.move)
        return MovedManifest(target, size)

    manifests = dict(zip(table.manifests, in_parallel(manifest, table.manifests), strict=True))

    def manifest_list(location: str) -> None:
        if location in rewritten:
            source = Url.parse(roots.move(location))
            write_moved_list(store, source, Url.parse(moved.names[location]), manifests)

    in_parallel(manifest_list, table.lists)
    for file in table.metadata_files:
        if file.location in rewritten:
            text = json.dumps(moved.content(file, roots), separators=(",", ":"))
            store.write_bytes(Url.parse(moved.names[file.location]), text.encode())
