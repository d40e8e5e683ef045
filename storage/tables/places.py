"""The places of a corpus, and the small files there that say whose they are.

A place is the folder of a corpus in its warehouse or in a tier. Each has ``_identity.json``, which
is written once, before the first data file. The warehouse's also has ``_state.json``, which says
how far the tables had come when a command last ended well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from strata.errors import (
    IdentityError,
    InputMissingError,
    MachineError,
    StrataError,
    TransientError,
)
from strata.settings import Settings
from strata.storage.contracts.store import FileInfo, Store
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.layout.file_names import facts_of_name
from strata.storage_settings import WAREHOUSE_TIER
from strata.tables import table_names

__all__ = [
    "IDENTITY_FILE",
    "STATE_FILE",
    "UNPROVEN_FILE",
    "Place",
    "PlaceFiles",
    "PlaceRecord",
    "TableFileInfo",
    "TableMarks",
    "is_inside",
    "is_same_place",
    "metadata_number",
    "places_of",
    "read_places",
    "read_unproven",
    "table_files",
    "write_marks",
    "write_record",
    "write_unproven",
]

IDENTITY_FILE = "_identity.json"
"""In every place: whose files these are."""
STATE_FILE = "_state.json"
"""In the warehouse's place: the newest metadata file of every table."""
UNPROVEN_FILE = "_unproven.json"
"""In a place that had files before it had an identity: those that no table referred to then."""

VERSION = 1
Entry = TypeVar("Entry", bound=msgspec.Struct)
_READS_IN_FLIGHT = 16
_ALIASES = {"s3a": "s3", "s3n": "s3"}
_NUMBERED = re.compile(r"(\d+)-.*\.metadata\.json(?:\.gz)?")
# The kinds of files that Iceberg and Strata write, by folder of a table.
_SUFFIXES = {
    "data": frozenset({".parquet", ".tmp"}),
    "metadata": frozenset({".avro", ".json", ".gz", ".puffin", ".stats", ".tmp"}),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that holds files of one corpus.

    Attributes:
        name: of the tier.
        folder: the corpus' folder in it.
    """

    name: str
    folder: Url


class PlaceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the identity file of a place says.

    Attributes:
        corpus: name of the corpus.
        id: identity of the corpus; the catalog has the same.
        place: URL of the folder that it was written to, which shows that a folder was copied.
        warehouse: URL of the warehouse of the corpus.
        at_ms: when it was written, milliseconds since 1970.
    """

    corpus: str
    id: str
    place: str
    warehouse: str
    at_ms: int
    version: int = VERSION


class TableMarks(msgspec.Struct, frozen=True, kw_only=True):
    """How far the tables had come when a command last ended well.

    Attributes:
        id: identity of the corpus.
        tables: name of the newest metadata file of each table.
    """

    id: str = ""
    tables: dict[str, str] = {}
    version: int = VERSION


class _Unproven(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    names: tuple[str, ...]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class PlaceFiles:
    """What the small files of some places say.

    Attributes:
        records: the identity of each place that has one.
        marks: how far the tables had come, from the first place.
        unanswered: places whose store did not answer, with the reason.
    """

    records: Mapping[Url, PlaceRecord]
    marks: TableMarks
    unanswered: Mapping[Url, StrataError] = field(default_factory=dict)

    def require_all(self) -> None:
        """Raise where a store did not answer.

        Raises:
            MachineError: access was refused.
            TransientError: it did not answer.
        """
        for error in self.unanswered.values():
            raise error


@dataclass(frozen=True, slots=True)
class TableFileInfo:
    """A file below the folder of a table: ``kind`` is ``data`` or ``metadata``."""

    table: str
    kind: str
    file: FileInfo

    @property
    def is_named_by_strata(self) -> bool:
        """Whether its name shows that Strata or Iceberg wrote it for a table."""
        name = self.file.url.name
        if self.kind == "metadata":
            return metadata_number(name) is not None
        return bool(facts_of_name(name).codec)


def places_of(settings: Settings) -> tuple[Place, ...]:
    """The places of a corpus, that of the warehouse first; none twice."""
    tiers = settings.all_tiers
    names = sorted(tiers, key=lambda name: (name != WAREHOUSE_TIER, name))
    found: dict[Url, Place] = {}
    for name in names:
        folder = Url.parse(tiers[name].url) / settings.corpus
        found.setdefault(folder, Place(name, folder))
    return tuple(found.values())


def read_places(store: Store, places: Sequence[Place]) -> PlaceFiles:
    """Read the identity files, and the marks of the first place; one small read for each.

    Of the other places it is only recorded that their store does not answer.

    Raises:
        IdentityError: one of them is damaged.
        MachineError: the first place may not be read.
        TransientError: the store of the first place did not answer.
    """
    with ThreadPoolExecutor(_READS_IN_FLIGHT) as pool:
        marks = pool.submit(_read, store, places[0].folder / STATE_FILE, TableMarks)
        asked = [
            pool.submit(_read, store, each.folder / IDENTITY_FILE, PlaceRecord) for each in places
        ]
        home = asked[0].result()
        records = {} if home is None else {places[0].folder: home}
        unanswered: dict[Url, StrataError] = {}
        for place, answer in zip(places[1:], asked[1:], strict=True):
            try:
                record = answer.result()
            except (MachineError, TransientError) as error:
                unanswered[place.folder] = error
                continue
            if record is not None:
                records[place.folder] = record
        return PlaceFiles(records, marks.result() or TableMarks(), unanswered)


def write_record(store: Store, folder: Url, record: PlaceRecord) -> None:
    """Write the identity file of a place."""
    store.write_bytes(folder / IDENTITY_FILE, _json(record))


def write_marks(store: Store, home: Url, marks: TableMarks) -> None:
    """Write how far the tables have come into the warehouse's place."""
    store.write_bytes(home / STATE_FILE, _json(marks))


def read_unproven(store: Store, folder: Url) -> frozenset[str]:
    """Names of the files of a place that may be those of another corpus."""
    found = _read(store, folder / UNPROVEN_FILE, _Unproven)
    return frozenset(found.names) if found else frozenset()


def write_unproven(store: Store, folder: Url, corpus_id: str, names: Sequence[str]) -> None:
    """Write which files of a place may be those of another corpus; without any, none are."""
    if names:
        store.write_bytes(
            folder / UNPROVEN_FILE, _json(_Unproven(id=corpus_id, names=tuple(names)))
        )
    else:
        store.delete(folder / UNPROVEN_FILE)


def table_files(store: Store, folder: Url, tables: Sequence[str] = ()) -> Iterator[TableFileInfo]:
    """The files of tables below a place: of some tables, or of all in one listing."""
    # Object stores return a thousand files per request.
    for asked in [folder / table for table in tables] or [folder]:
        for file in store.find(asked):
            table, _, rest = str(file.url).removeprefix(f"{folder}/").partition("/")
            kind = rest.partition("/")[0]
            if table in table_names() and file.url.suffix in _SUFFIXES.get(kind, ()):
                yield TableFileInfo(table, kind, file)


def metadata_number(name: str) -> int | None:
    """The number that a metadata file has in the history of its table; None for other names."""
    found = _NUMBERED.fullmatch(name.rpartition("/")[2])
    return int(found[1]) if found else None


def is_same_place(one: str | Url, other: str | Url) -> bool:
    """Whether two URLs name one folder: by text, or through links of the local disk."""
    first, second = _plain(Url.parse(one)), _plain(Url.parse(other))
    return first == second or _resolved(first) == _resolved(second)


def is_inside(url: str | Url, folder: str | Url) -> bool:
    """Whether a URL lies below a folder: by text, or through links of the local disk."""
    inner, outer = _plain(Url.parse(url)), _plain(Url.parse(folder))
    return inner.is_below(outer) or _resolved(inner).is_below(_resolved(outer))


def _plain(url: Url) -> Url:
    return Url(_ALIASES.get(url.scheme, url.scheme), url.rest)


def _resolved(url: Url) -> Url:
    return Url(LOCAL, os.path.realpath(url.path)) if url.scheme == LOCAL else url


def _read(store: Store, url: Url, kind: type[Entry]) -> Entry | None:
    try:
        return msgspec.json.decode(store.read_bytes(url), type=kind)
    except InputMissingError:
        return None
    except msgspec.MsgspecError as error:
        raise IdentityError(
            f"{url}, which says whose files lie there, is damaged: {error}",
            hint="restore it, or after a look write it anew: strata storage adopt FILE",
        ) from error


def _json(entry: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entry), indent=2)
