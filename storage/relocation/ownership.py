"""Whose a relocated corpus is: what was moved keeps its identity, a copy gets one of its own.

A move is refused while the old place still says that it is the corpus; a copy, while it shares a
folder or the catalog with its original. So no two places ever have one identity for long.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from strata.errors import ConflictError, StrataError
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.lifecycle.journal import MoveJournal, moves_folder
from strata.storage.relocation.destinations import Kind
from strata.storage.relocation.relocate import Relocation, commit, stage
from strata.storage.relocation.roots import Roots
from strata.storage.relocation.vouched import Vouched
from strata.storage.tables.belonging import Finding, Mismatch, older_catalog, refuse
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.catalog_entry import CatalogEntry, entry_properties
from strata.storage.tables.places import (
    IDENTITY_FILE,
    Place,
    PlaceRecord,
    TableMarks,
    is_inside,
    is_same_place,
    metadata_number,
    read_places,
    write_marks,
    write_record,
)

__all__ = ["Handover", "hand_over", "plan_handover"]

# What a relocation mends; with anything else it would be a guess what belongs together.
_MENDED = frozenset({Mismatch.COPY, Mismatch.OTHER_WAREHOUSE})


@dataclass(frozen=True, slots=True)
class Handover:
    """What a relocation changes beside the metadata of the tables.

    Attributes:
        kind: what was done to the folders.
        corpus_id: identity of the corpus afterwards; empty for one of an older version, to which
            the next run gives one.
        folders: the folder of the corpus in each place that was moved or copied, by the old one.
        records: what the identity files of places will say, by folder.
        marks: how far the tables will have come.
        properties: what the catalog will say of the corpus; None for what it forgets.
    """

    kind: Kind
    corpus_id: str
    folders: Mapping[Url, Url]
    records: Mapping[Url, PlaceRecord]
    marks: TableMarks
    properties: Mapping[str, str | None]

    @property
    def changes(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.records or self.properties)


def plan_handover(
    corpus: Corpus,
    relocation: Relocation,
    findings: Collection[Finding],
    vouched: Collection[Vouched] = (),
) -> Handover:
    """Decide which identity a corpus has after its relocation; changes nothing.

    Args:
        corpus: the corpus, opened although it does not fit its settings.
        relocation: what is relocated.
        findings: what does not fit.
        vouched: what the user vouches for.

    Raises:
        IdentityError: something does not fit that no relocation mends.
        ConflictError: the original of a move is still there, or a copy is not a copy throughout.
    """
    entry = corpus.membership.entry or CatalogEntry()
    is_copy = relocation.kind is Kind.COPY
    corpus_id = relocation.new_id if is_copy else entry.id
    refuse(corpus.name, [each for each in findings if _blocks(corpus, each, corpus_id)])
    refuse(corpus.name, list(_older_tables(corpus, relocation, entry)))
    folders = dict(_folders(corpus, relocation))
    if is_copy:
        _refuse_shared(corpus, entry, folders, vouched)
    else:
        _refuse_living(corpus, entry, relocation, folders, vouched)
    records = {}
    if corpus_id:
        records = {
            folder: _record(corpus, corpus_id, folder) for folder in dict.fromkeys(folders.values())
        }
    tables = {name: Url.parse(location).name for name, location in relocation.pointers.items()}
    properties = _properties(corpus, entry, corpus_id, folders)
    marks = TableMarks(id=corpus_id, tables=tables)
    return Handover(relocation.kind, corpus_id, folders, records, marks, properties)


def hand_over(corpus: Corpus, relocation: Relocation, handover: Handover) -> None:
    """Stage and check the moved metadata, commit it, and write whose the places are.

    Killed before the commit, a move has changed nothing, and a copy only its own small files;
    killed after it, the same command writes what is missing.

    Raises:
        BalanceError: a moved copy of metadata says something else; nothing was committed.
        ConflictError: a file is missing, or another run published meanwhile; nothing was committed.
        MachineError: a place cannot be written.
        TransientError: a store or the catalog did not answer.
    """
    stage(corpus, relocation)
    if handover.kind is Kind.COPY:
        # Before the copy is usable: nothing in it may name files of the original then.
        _write(corpus, handover)
    commit(corpus, relocation, handover.properties)
    if handover.kind is Kind.MOVE:
        _write(corpus, handover)


def _write(corpus: Corpus, handover: Handover) -> None:
    roots = Roots({old.parent: new.parent for old, new in handover.folders.items()})
    MoveJournal(corpus.store, moves_folder(corpus.warehouse, corpus.name)).relocate(roots.move)
    for folder, record in handover.records.items():
        write_record(corpus.store, folder, record)
    if handover.corpus_id and handover.changes:
        write_marks(corpus.store, corpus.warehouse / corpus.name, handover.marks)


def _blocks(corpus: Corpus, finding: Finding, corpus_id: str) -> bool:
    if finding.mismatch is Mismatch.OTHER_CORPUS:
        record = corpus.membership.files.records.get(Url.parse(finding.url))
        # An attempt that was killed has given it to the copy already.
        return record is None or record.id != corpus_id
    return finding.mismatch not in _MENDED


def _older_tables(corpus: Corpus, relocation: Relocation, entry: CatalogEntry) -> Iterator[Finding]:
    """Tables that had come further than the catalog says: what came later would be lost."""
    marks = corpus.membership.files.marks
    recorded = marks.tables if marks.id in ("", entry.id) else {}
    for table in sorted(recorded.keys() | relocation.newest.keys()):
        known = Url.parse(relocation.former.get(table, "nothing")).name
        number = metadata_number(known) or 0
        mark, newest = recorded.get(table, ""), relocation.newest.get(table, "")
        # A commit or a relocation that was killed leaves metadata that is one ahead.
        if (metadata_number(newest) or 0) > number + 1:
            yield older_catalog(f"{corpus.name}.{table}", known, newest)
        elif (metadata_number(mark) or 0) > number:
            yield older_catalog(f"{corpus.name}.{table}", known, mark)


def _folders(corpus: Corpus, relocation: Relocation) -> Iterator[tuple[Url, Url]]:
    """The corpus' folder in each place that is not where it was: by the tables, and by itself."""
    for each in relocation.moved:
        yield each.old / corpus.name, each.new / corpus.name
    for folder, record in corpus.membership.files.records.items():
        if not is_same_place(record.place, folder):
            yield Url.parse(record.place), folder


def _refuse_living(
    corpus: Corpus,
    entry: CatalogEntry,
    relocation: Relocation,
    folders: Mapping[Url, Url],
    vouched: Collection[Vouched],
) -> None:
    for old, new in folders.items():
        if is_same_place(old, new):
            continue
        try:
            living = _lives(corpus, entry, relocation, old)
        except StrataError as error:
            if Vouched.OLD_IS_GONE in vouched:
                continue
            raise ConflictError(
                f"whether corpus {corpus.name} still is in {old} cannot be told: {error.reason}",
                hint="if that place is gone for good, add --old-is-gone",
            ) from error
        if living:
            raise ConflictError(
                f"corpus {corpus.name} still is in {old}: {new} is a copy of it",
                hint="`--as-copy` makes the copy a corpus of its own; to go on in the new place "
                f"instead, rename the old one, or delete its {IDENTITY_FILE}",
            )


def _lives(corpus: Corpus, entry: CatalogEntry, relocation: Relocation, old: Url) -> bool:
    if entry.id:
        record = read_places(corpus.store, [Place("", old)]).records.get(old)
        return record is not None and record.id == entry.id and is_same_place(record.place, old)
    moved = (Url.parse(table.table.present.location) for table in relocation.tables)
    return any(url.is_below(old) and corpus.store.exists(url) for url in moved)


def _refuse_shared(
    corpus: Corpus,
    entry: CatalogEntry,
    folders: Mapping[Url, Url],
    vouched: Collection[Vouched],
) -> None:
    same = [new for old, new in folders.items() if is_same_place(old, new)]
    same += [
        folder
        for folder, record in corpus.membership.files.records.items()
        if record.id == entry.id and is_same_place(record.place, folder)
    ]
    if same:
        raise ConflictError(
            f"{same[0]} is no copy: the original has its files there",
            hint="copy that folder too, and name the copy in the settings",
        )
    if Vouched.OWN_CATALOG not in vouched and not _has_own_catalog(corpus):
        raise ConflictError(
            f"whether the catalog of the copy {corpus.warehouse} is that of the original cannot "
            "be told",
            hint="give the copy a catalog of its own, such as a copy of the original's database; "
            "if [catalog] names such a one, add --own-catalog",
        )


def _has_own_catalog(corpus: Corpus) -> bool:
    """Whether it is a file below the copied warehouse, with no other name elsewhere."""
    file = corpus.catalog_file()
    if file is None or corpus.warehouse.scheme != LOCAL or not file.exists():
        return False
    return is_inside(Url.parse(file), corpus.warehouse) and Path(file).stat().st_nlink == 1


def _record(corpus: Corpus, corpus_id: str, folder: Url) -> PlaceRecord:
    return PlaceRecord(
        corpus=corpus.name,
        id=corpus_id,
        place=str(folder),
        warehouse=str(corpus.warehouse),
        at_ms=time.time_ns() // 1_000_000,
    )


def _properties(
    corpus: Corpus, entry: CatalogEntry, corpus_id: str, folders: Mapping[Url, Url]
) -> dict[str, str | None]:
    home = corpus.warehouse / corpus.name
    if not corpus_id or (entry.id == corpus_id and entry.home == str(home) and not folders):
        return {}
    stay = {Url.parse(each) for each in entry.folders} - folders.keys()
    forgotten = entry_properties(corpus_id, home, map(Url.parse, entry.folders))
    known = entry_properties(corpus_id, home, stay | set(folders.values()))
    return dict.fromkeys(forgotten) | known
