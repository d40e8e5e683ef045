"""Whether a catalog, a warehouse and its tiers belong together, and what is wrong where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from strata.errors import IdentityError
from strata.storage.contracts.url import Url
from strata.storage.tables.catalog_entry import CatalogEntry
from strata.storage.tables.places import (
    Place,
    PlaceFiles,
    PlaceRecord,
    TableMarks,
    is_inside,
    is_same_place,
    metadata_number,
)

__all__ = [
    "Finding",
    "Mismatch",
    "TableWatch",
    "findings_of",
    "findings_without_catalog",
    "lost_tables",
    "newer_marks",
    "older_catalog",
    "refuse",
    "unclaimed",
]

ADOPT = "after a look, `strata storage adopt FILE` makes what is there part of this corpus"
REBUILD = "`strata storage rebuild-catalog FILE` makes the catalog anew from the tables' metadata"
RELOCATE = (
    "name the old place in the settings, or rewrite the paths: `strata storage relocate FILE`"
)


class Mismatch(StrEnum):
    """Why a place and a catalog do not belong together."""

    LOST_CATALOG = "the catalog does not know the corpus whose files are here"
    OTHER_CORPUS = "the files here are those of another corpus"
    LOST_PLACE = "the catalog knows this place, and nothing is here"
    COPY = "this is a copy, or was renamed"
    OTHER_WAREHOUSE = "the catalog is that of another warehouse"
    UNCLAIMED = "files of tables are here that the catalog does not know"
    OLDER_CATALOG = "the catalog is older than the tables' metadata"


HINTS = {
    Mismatch.LOST_CATALOG: "check `warehouse` and [catalog]; if the catalog is lost, restore "
    f"the catalog's database, or {REBUILD}; {ADOPT}",
    Mismatch.OTHER_CORPUS: "check `corpus`, `warehouse`, [catalog] and the tiers, and give each "
    f"corpus a name or folders of its own; {ADOPT}",
    Mismatch.LOST_PLACE: f"mount it, or put it back from its copy; if it is gone for good, {ADOPT}",
    Mismatch.COPY: RELOCATE,
    Mismatch.OTHER_WAREHOUSE: RELOCATE,
    Mismatch.UNCLAIMED: "check `warehouse`, [catalog] and the tiers; if the catalog is lost, "
    f"restore the catalog's database, or {REBUILD}; {ADOPT}",
    Mismatch.OLDER_CATALOG: "restore the newest copy of the catalog's database, or "
    f"{REBUILD}; {ADOPT}",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit: which kind, where, and what is there."""

    mismatch: Mismatch
    url: str
    told: str

    def __str__(self) -> str:
        return f"{self.url}: {self.told}"


def findings_of(
    corpus: str, places: Sequence[Place], files: PlaceFiles, entry: CatalogEntry | None
) -> list[Finding]:
    """What does not fit between the places of a corpus and its catalog.

    Args:
        corpus: its name.
        places: its places, that of the warehouse first.
        files: what their small files say.
        entry: what the catalog says; None where it does not know the corpus, or is not there.
    """
    found = []
    for place in places:
        record = files.records.get(place.folder)
        if record is not None:
            found += _of_record(place, record, entry)
        elif entry and entry.knows(place.folder) and place.folder not in files.unanswered:
            told = f"no files of corpus {corpus} any more, and there were some"
            found.append(Finding(Mismatch.LOST_PLACE, str(place.folder), told))
    home = str(places[0].folder)
    moved = any(each.mismatch is Mismatch.COPY for each in found)
    if entry and entry.home and not moved and not is_same_place(entry.home, home):
        told = f"the warehouse of the settings, and the catalog is that of {entry.home}"
        found.append(Finding(Mismatch.OTHER_WAREHOUSE, home, told))
    return found


def findings_without_catalog(
    corpus: str, places: Sequence[Place], files: PlaceFiles
) -> list[Finding]:
    """What does not fit among the places themselves, for what reads no table."""
    home = places[0].folder
    known = files.records.get(home) or next(iter(files.records.values()), None)
    if known is None:
        return []
    entry = CatalogEntry(known.id, folders=frozenset({str(home)}))
    return findings_of(corpus, places, files, entry)


def _of_record(place: Place, record: PlaceRecord, entry: CatalogEntry | None) -> list[Finding]:
    owner = f"files of corpus {record.corpus} ({record.id[:8]}) of warehouse {record.warehouse}"
    url = str(place.folder)
    if entry is None or not entry.id:
        told = f"{owner}, which the catalog does not know"
        return [Finding(Mismatch.LOST_CATALOG, url, told)]
    if record.id != entry.id:
        told = f"{owner}, and this is corpus {entry.id[:8]}"
        return [Finding(Mismatch.OTHER_CORPUS, url, told)]
    if not is_same_place(record.place, place.folder):
        told = f"a copy of {record.place}, or that folder under a new name"
        return [Finding(Mismatch.COPY, url, told)]
    return []


def unclaimed(place: Place, files: int) -> Finding:
    """A place has files of tables that no catalog in reach refers to."""
    told = f"{files:,} file(s) of a corpus, and the catalog refers to none of them"
    return Finding(Mismatch.UNCLAIMED, str(place.folder), told)


def older_catalog(table: str, known: str, there: str) -> Finding:
    """The catalog names older metadata of a table than there is."""
    told = f"the catalog has {known}, and there is {there}"
    return Finding(Mismatch.OLDER_CATALOG, table, told)


def lost_tables(corpus: str, tables: Sequence[str], home: Url) -> Finding:
    """The catalog lacks tables that were published."""
    told = f"the catalog lacks {', '.join(tables)} of corpus {corpus}, which was there"
    return Finding(Mismatch.OLDER_CATALOG, str(home), told)


def refuse(corpus: str, findings: Sequence[Finding]) -> None:
    """Raise where something does not fit.

    Raises:
        IdentityError: something does not; it tells what was found where, and the remedies.
    """
    if findings:
        urls: dict[str, list[str]] = {}
        for finding in findings:
            urls.setdefault(finding.told, []).append(finding.url)
        told = (f"{', '.join(places)}: {what}" for what, places in urls.items())
        kinds = dict.fromkeys(HINTS[finding.mismatch] for finding in findings)
        raise IdentityError(
            f"corpus {corpus} is not touched. Found at {'; at '.join(told)}", hint="; ".join(kinds)
        )


class TableWatch:
    """Checks every table as it is loaded, without a request of its own.

    Attributes:
        seen: the newest metadata file of each table that was loaded.
    """

    def __init__(self, corpus: str, warehouse: Url, marks: TableMarks) -> None:
        self.corpus = corpus
        self.warehouse = warehouse
        self.marks = marks
        self.seen: dict[str, str] = {}

    def loaded(self, table: str, metadata: str, location: str) -> None:
        """A table was loaded.

        Raises:
            IdentityError: it lies outside of the warehouse, or is older than it was.
        """
        self._refuse_outside(table, metadata, location)
        name, mark = Url.parse(metadata).name, self.marks.tables.get(table)
        if mark is not None and _is_behind(name, mark):
            refuse(self.corpus, [older_catalog(f"{self.corpus}.{table}", name, mark)])
        self.seen[table] = name

    def missing(self, table: str) -> None:
        """The catalog has no such table.

        Raises:
            IdentityError: it once had.
        """
        if table in self.marks.tables:
            home = self.warehouse / self.corpus
            refuse(self.corpus, [lost_tables(self.corpus, [table], home)])

    def _refuse_outside(self, table: str, metadata: str, location: str) -> None:
        outside = [url for url in (metadata, location) if not is_inside(url, self.warehouse)]
        if outside:
            raise IdentityError(
                f"the catalog has table {self.corpus}.{table} at {outside[0]}, which is outside of "
                f"the warehouse {self.warehouse} of the settings: it was copied or renamed",
                hint=RELOCATE,
            )


def _is_behind(name: str, mark: str) -> bool:
    number, least = metadata_number(name), metadata_number(mark)
    if number is None or least is None:
        return False
    return number < least or (number == least and name != mark)


def newer_marks(one: TableMarks, other: TableMarks) -> TableMarks:
    """The marks of all tables, of two of one table the newer one; ``other`` gives the identity."""
    newest = dict(one.tables) if one.id in ("", other.id) else {}
    for table, name in other.tables.items():
        if table not in newest or not _is_behind(name, newest[table]):
            newest[table] = name
    return TableMarks(id=other.id, tables=newest)
