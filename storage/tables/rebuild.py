"""Making a lost catalog anew from the tables' metadata files in the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from strata.errors import ConcurrentChangeError, IdentityError
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.tables.belonging import Mismatch, TableWatch, refuse
from strata.storage.tables.catalog import Corpus, Look
from strata.storage.tables.claim import claim, id_of
from strata.storage.tables.places import (
    IDENTITY_FILE,
    PlaceRecord,
    TableMarks,
    is_inside,
    metadata_number,
    table_files,
    write_marks,
)
from strata.tables import table_names

if TYPE_CHECKING:
    from pyiceberg.table import Table

__all__ = ["RebuiltTable", "plan_rebuild", "rebuild_catalog"]

# What a new catalog mends; all else needs another remedy.
_MENDED = frozenset({Mismatch.LOST_CATALOG, Mismatch.UNCLAIMED, Mismatch.OLDER_CATALOG})


@dataclass(frozen=True, slots=True)
class RebuiltTable:
    """A table as its newest metadata file has it.

    Attributes:
        table: its name.
        metadata: the newest metadata file.
        known: name of the metadata file that the catalog has; empty where it lacks the table.
        snapshots: number of its snapshots.
        rows: number of its rows.
        tags: names of its tags.
    """

    table: str
    metadata: Url
    known: str
    snapshots: int
    rows: int
    tags: tuple[str, ...]

    @property
    def is_behind(self) -> bool:
        """Whether the catalog has less than the metadata file."""
        known = metadata_number(self.known)
        return known is None or known < (metadata_number(self.metadata.name) or 0)


def plan_rebuild(look: Look) -> list[RebuiltTable]:
    """The newest metadata of each table in the warehouse, in the order of the stages.

    Of several files with the newest number, which a lost race leaves, the one counts that was
    recorded as published, else the youngest.

    Raises:
        IdentityError: the warehouse is a copy, or the tiers are those of another corpus.
        InputMissingError: a file that the metadata refer to is missing.
    """
    _refuse_others(look)
    home = look.membership.places[0].folder
    found: dict[str, list[Url]] = {}
    for each in table_files(look.store, home):
        if each.kind == "metadata" and metadata_number(each.file.url.name) is not None:
            found.setdefault(each.table, []).append(each.file.url)
    known = _known(look)
    return [
        _rebuilt(look, name, found[name], known.get(name, ""))
        for name in table_names()
        if name in found
    ]


def rebuild_catalog(look: Look, plan: list[RebuiltTable]) -> Corpus:
    """Give the catalog the tables of a plan; what it already has is left as it is.

    Repeating it completes a call that died half-way.

    Raises:
        ConflictError: another process makes the same tables.
        IdentityError: a tier holds files that the tables do not know.
        TransientError: the catalog did not answer.
    """
    from pyiceberg.exceptions import TableAlreadyExistsError

    name, record = look.settings.corpus, _record(look)
    corpus = look.corpus(record.id if record else "")
    catalog = look.catalog
    for each in plan:
        if not each.is_behind or catalog is None:
            continue
        with catalog_errors(name):
            if each.known:
                catalog.drop_table((name, each.table))
            try:
                catalog.register_table((name, each.table), str(each.metadata))
            except TableAlreadyExistsError as error:
                raise ConcurrentChangeError(
                    f"another process made table {name}.{each.table} in the catalog meanwhile",
                    hint="run the same command again",
                ) from error
    if record and corpus.id != record.id:
        corpus.write_entry(record.id, [])
    claim(corpus)
    home = look.membership.places[0].folder
    tables = {each.table: each.metadata.name if each.is_behind else each.known for each in plan}
    write_marks(look.store, home, TableMarks(id=id_of(corpus), tables=tables))
    return corpus


def _refuse_others(look: Look) -> None:
    name, record = look.settings.corpus, _record(look)
    has_tables = bool(look.tables())
    refuse(
        name,
        [
            each
            for each in look.findings
            if each.mismatch not in _MENDED
            and (has_tables or each.mismatch is not Mismatch.OTHER_CORPUS)
        ],
    )
    for folder, other in look.membership.files.records.items():
        if record is None or other.id != record.id:
            raise IdentityError(
                f"{folder / IDENTITY_FILE} says that files of corpus {other.corpus} "
                f"({other.id[:8]}) are there, and the warehouse {look.settings.warehouse} is not "
                "that corpus'",
                hint="check `warehouse` and the tiers",
            )


def _record(look: Look) -> PlaceRecord | None:
    return look.membership.files.records.get(look.membership.places[0].folder)


def _known(look: Look) -> dict[str, str]:
    """The metadata file that the catalog has for each table."""
    if look.catalog is None:
        return {}
    found = {}
    for name in look.tables():
        with catalog_errors(name):
            table = look.catalog.load_table((look.settings.corpus, name))
        found[name] = Url.parse(table.metadata_location).name
    return found


def _newest(look: Look, urls: list[Url]) -> dict[Url, Table]:
    """The tables of the newest number; a relocation that was given up leaves some of elsewhere."""
    newest: dict[Url, Table] = {}
    for number in sorted({metadata_number(url.name) or 0 for url in urls}, reverse=True):
        tables = {url: _table(look, url) for url in urls if metadata_number(url.name) == number}
        newest = newest or tables
        inside = {
            url: table
            for url, table in tables.items()
            if is_inside(table.location(), look.settings.warehouse)
        }
        if inside:
            return inside
    return newest


def _rebuilt(look: Look, name: str, urls: list[Url], known: str) -> RebuiltTable:
    tables = _newest(look, urls)
    mark = look.membership.files.marks.tables.get(name)
    url = max(tables, key=lambda url: (url.name == mark, tables[url].metadata.last_updated_ms))
    table = tables[url]
    watch = TableWatch(look.settings.corpus, Url.parse(look.settings.warehouse), TableMarks())
    watch.loaded(name, str(url), table.location())
    snapshot = table.current_snapshot()
    total = snapshot.summary["total-records"] if snapshot and snapshot.summary else None
    return RebuiltTable(
        table=name,
        metadata=url,
        known=known,
        snapshots=len(table.metadata.snapshots),
        rows=int(total or 0),
        tags=tuple(sorted(set(table.metadata.refs) - {"main"})),
    )


def _table(look: Look, url: Url) -> Table:
    from pyiceberg.table import StaticTable

    from strata.storage.iceberg.file_io import io_properties

    return StaticTable.from_metadata(str(url), io_properties(StorageOptions.of(look.settings)))
