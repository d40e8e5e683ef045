"""Making places a corpus' own, before its first file is written there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from strata.errors import IdentityError
from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.tables.belonging import Finding, older_catalog, refuse, unclaimed
from strata.storage.tables.catalog import SECOND_LOOKS, Corpus, open_corpus
from strata.storage.tables.catalog_entry import new_id
from strata.storage.tables.places import (
    Place,
    PlaceRecord,
    TableFileInfo,
    metadata_number,
    table_files,
    write_record,
    write_unproven,
)
from strata.storage.tables.referenced_files import referenced_names

__all__ = ["claim", "id_of", "mark_places", "open_to_write"]


def open_to_write(settings: Settings) -> Corpus:
    """Open a corpus to write or delete files: every place then carries its identity.

    Places of an older version, which have none, are taken where the catalog refers to their files.

    Raises:
        IdentityError: as :func:`strata.storage.tables.catalog.open_corpus`; or a place holds files
            of a corpus that the catalog does not know.
        SettingsError: as there.
        MachineError: a place cannot be written.
        TransientError: the catalog or a store did not answer.
    """
    for pause in (*SECOND_LOOKS, None):
        corpus = open_corpus(settings)
        try:
            claim(corpus)
        except IdentityError:
            corpus.close()
            if pause is None:
                raise
            # Another process may have begun to write there since the corpus was looked at.
            time.sleep(pause)
        except BaseException:
            corpus.close()
            raise
        else:
            return corpus
    raise AssertionError("the last look returns or raises")


def claim(corpus: Corpus) -> None:
    """Give every place of a corpus its identity; what has it is not touched, nor asked.

    Raises:
        IdentityError: a place holds files that the catalog does not know.
        MachineError: a place may not be read or written.
        TransientError: a store did not answer.
    """
    corpus.membership.files.require_all()
    entry, records = corpus.membership.entry, corpus.membership.files.records
    new = [place for place in corpus.membership.places if place.folder not in records]
    listed = {place: list(table_files(corpus.store, place.folder)) for place in new}
    unproven = _unproven(corpus, listed)
    corpus_id = id_of(corpus)
    for place, names in unproven.items():
        write_unproven(corpus.store, place.folder, corpus_id, names)
    unknown = entry is None or any(
        not entry.knows(place.folder) for place in corpus.membership.places
    )
    if new or unknown:
        mark_places(corpus, corpus_id, new)


def mark_places(corpus: Corpus, corpus_id: str, places: Sequence[Place]) -> None:
    """Write the identity into places and into the catalog, whatever they say now."""
    # In this order: the catalog never names a place that has nothing.
    made = {place.folder: _record(corpus, corpus_id, place.folder) for place in places}
    if corpus_id != corpus.id:
        corpus.write_entry(corpus_id, [])
    for folder, record in made.items():
        write_record(corpus.store, folder, record)
    corpus.write_entry(corpus_id, [place.folder for place in corpus.membership.places])
    files = corpus.membership.files
    known = replace(files, records=dict(files.records) | made)
    corpus.membership = replace(corpus.membership, files=known)


def _record(corpus: Corpus, corpus_id: str, folder: Url) -> PlaceRecord:
    return PlaceRecord(
        corpus=corpus.name,
        id=corpus_id,
        place=str(folder),
        warehouse=str(corpus.warehouse),
        at_ms=time.time_ns() // 1_000_000,
    )


def _unproven(corpus: Corpus, listed: dict[Place, list[TableFileInfo]]) -> dict[Place, list[str]]:
    """Names of the files of each place that no table refers to.

    A corpus of an older version may have nothing but garbage in a tier; it is then left alone.

    Raises:
        IdentityError: no table refers to any file of a place, or one is older than its metadata.
    """
    if not any(listed.values()):
        return {}
    if not corpus.id:
        refuse(corpus.name, _older_tables(corpus, listed))
    entry = corpus.membership.entry
    is_older = not (entry and entry.home) and bool(corpus.existing_tables())
    needed = referenced_names(corpus)
    found: dict[Place, list[str]] = {}
    strangers = []
    for place, files in listed.items():
        names = [each.file.url.name for each in files]
        known = sum(name in needed for name in names)
        ours = sum(each.is_named_by_strata for each in files)
        if ours and not known and not is_older:
            strangers.append(unclaimed(place, ours))
        found[place] = sorted(name for name in names if name not in needed)
    refuse(corpus.name, strangers)
    return {place: names for place, names in found.items() if names}


def _older_tables(corpus: Corpus, listed: dict[Place, list[TableFileInfo]]) -> list[Finding]:
    """Tables whose metadata went on after the state that the catalog has."""
    found = []
    for name in corpus.existing_tables():
        table = corpus.table(name).existing()
        known = metadata_number(table.metadata_location) if table else None
        numbers = {
            metadata_number(each.file.url.name) or 0: each.file.url.name
            for files in listed.values()
            for each in files
            if each.table == name and each.kind == "metadata"
        }
        # A commit that a crash left behind is one ahead.
        if table and known is not None and max(numbers, default=0) > known + 1:
            newest = numbers[max(numbers)]
            last = Url.parse(table.metadata_location).name
            found.append(older_catalog(f"{corpus.name}.{name}", last, newest))
    return found


def id_of(corpus: Corpus) -> str:
    """The identity of a corpus; one that has tables and none gets the same from all who ask."""
    if corpus.id:
        return corpus.id
    loaded = (corpus.table(name).existing() for name in corpus.existing_tables())
    first = next((table for table in loaded if table is not None), None)
    return uuid5(NAMESPACE_URL, str(first.metadata.table_uuid)).hex if first else new_id()
