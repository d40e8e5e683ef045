"""The tables of one corpus: an Iceberg namespace, opened through any catalog of PyIceberg."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from strata.errors import ConcurrentChangeError, IdentityError, SettingsError, StrataError
from strata.settings import Settings
from strata.storage.contracts.faults import translated
from strata.storage.contracts.options import StorageOptions, from_environment
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.records import TableFile, TableSnapshot
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.tables.belonging import (
    Finding,
    TableWatch,
    findings_of,
    findings_without_catalog,
    newer_marks,
    refuse,
    unclaimed,
)
from strata.storage.tables.catalog_entry import (
    CatalogEntry,
    make_entry,
    new_id,
    read_entry,
    write_entry,
)
from strata.storage.tables.places import (
    Place,
    PlaceFiles,
    TableMarks,
    places_of,
    read_places,
    table_files,
    write_marks,
)
from strata.storage.tables.sqlite_file import check_reachable, check_writable, sqlite_file
from strata.storage.tables.table import CorpusTable
from strata.storage_settings import WAREHOUSE_TIER
from strata.tables import table_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.typedef import Identifier

    from strata.storage.iceberg.pointers import PointerSwitch

__all__ = [
    "CATALOG_NAME",
    "SECOND_LOOKS",
    "Corpus",
    "CorpusTable",
    "Look",
    "Membership",
    "TableFile",
    "TableSnapshot",
    "check_catalog_file",
    "look_at",
    "open_corpus",
    "refuse_places",
]

# Part of the primary key in SQL catalogs, so it may never change.
SECOND_LOOKS = (0.1, 0.9)
"""Seconds before each further look at a corpus whose places and catalog do not match."""
CATALOG_NAME = "strata"
_DATABASE = "catalog.db"
_LOCK_SECONDS = 60
_SYNC_FOLDER = "PRAGMA synchronous = EXTRA"
# SQLite and PostgreSQL report the first; PostgreSQL reports the second in a race.
_MADE_MEANWHILE = ("already exists", "duplicate key value")


@dataclass(frozen=True, slots=True)
class Membership:
    """What says that files and a catalog are of one corpus.

    Attributes:
        places: the places of the corpus, that of the warehouse first.
        files: what their small files say.
        entry: what the catalog says; None where it does not know the corpus.
    """

    places: tuple[Place, ...]
    files: PlaceFiles
    entry: CatalogEntry | None

    @property
    def entry_id(self) -> str:
        """Identity of the corpus as the catalog has it; empty where it has none."""
        return self.entry.id if self.entry else ""


class Corpus:
    """The tables of one corpus. Belongs to the driver: it cannot be pickled."""

    def __init__(
        self,
        name: str,
        warehouse: Url,
        catalog: Catalog,
        store: Store,
        membership: Membership | None = None,
    ) -> None:
        self.name = name
        self.warehouse = warehouse
        self.store = store
        self._catalog = catalog
        home = (Place(WAREHOUSE_TIER, warehouse / name),)
        nothing = PlaceFiles({}, TableMarks())
        self.membership = membership or Membership(home, nothing, None)
        self._watch = TableWatch(name, warehouse, self.membership.files.marks)

    @property
    def id(self) -> str:
        """The identity of the corpus; empty for one of an older version that is only read."""
        return self.membership.entry_id

    def table(self, name: str) -> CorpusTable:
        """A table by its name.

        Raises:
            SettingsError: there is no such table.
        """
        if name not in SCHEMAS:
            raise SettingsError(
                f"there is no table {name!r}", hint=f"use one of {', '.join(table_names())}"
            )
        folder = self.warehouse / self.name / name
        return CorpusTable(self._catalog, self.name, name, folder, self._watch)

    def sibling(self, name: str) -> Corpus:
        """Another corpus of the same catalog.

        Raises:
            SettingsError: there is no such corpus.
            IdentityError: its files are those of another one, or were copied.
        """
        with catalog_errors(name):
            present = sorted(identifier[-1] for identifier in self._catalog.list_namespaces())
        if name not in present:
            raise SettingsError(
                f"the catalog has no corpus {name!r}", hint=f"it has: {', '.join(present)}"
            )
        places = (Place(WAREHOUSE_TIER, self.warehouse / name),)
        with catalog_errors(name):
            entry = read_entry(self._catalog, name)
        membership = Membership(places, read_places(self.store, places), entry)
        refuse(name, findings_of(name, places, membership.files, entry))
        return Corpus(name, self.warehouse, self._catalog, self.store, membership)

    def existing_tables(self) -> list[str]:
        """Names of the tables that have been published to, in the order of the stages.

        Raises:
            IdentityError: the catalog lacks one that it once had.
        """
        with catalog_errors(self.name):
            present = {identifier[-1] for identifier in self._catalog.list_tables((self.name,))}
        for name in table_names():
            if name not in present:
                self._watch.missing(name)
        return [name for name in table_names() if name in present]

    def refuse_unproven(self, folders: Iterable[Url]) -> None:
        """Check that folders carry the identity of this corpus, before something is deleted there.

        Raises:
            IdentityError: one of them does not.
        """
        records = self.membership.files.records
        for folder in folders:
            record = records.get(folder)
            if record is None or record.id != self.id:
                raise IdentityError(
                    f"{folder} does not carry the identity of corpus {self.name}, so nothing there "
                    "is known to be its garbage",
                    hint="open the corpus to write, with all of its tiers in the settings",
                )

    def write_entry(self, corpus_id: str, folders: Iterable[Url]) -> None:
        """Write into the catalog whose the corpus is, and that these places carry its identity.

        Raises:
            TransientError: the catalog did not answer.
        """
        places = self.membership.places
        with catalog_errors(self.name):
            entry = write_entry(self._catalog, self.name, corpus_id, places[0].folder, folders)
        self.membership = replace(self.membership, entry=entry)

    def load_tables(self) -> None:
        """Load every table, which checks it, so that the marks are those of the present states.

        Raises:
            IdentityError: one lies outside of the warehouse, or is lost or older than it was.
        """
        for name in self.existing_tables():
            self.table(name).existing()

    def write_marks(self) -> None:
        """Write how far the tables have come, so that an older catalog is told from this one.

        The tables count as they were loaded last; no mark ever goes back.

        Raises:
            MachineError: the warehouse cannot be written.
        """
        home = self.membership.places[0].folder
        marks = read_places(self.store, self.membership.places[:1]).marks
        newest = newer_marks(marks, TableMarks(id=self.id, tables=self._watch.seen))
        if newest != marks:
            write_marks(self.store, home, newest)

    def iceberg_tables(self) -> Iterator[Table]:
        """Every Iceberg table of the catalog, in any namespace, made by Strata or not.

        Raises:
            ConflictError: a table that was listed is gone.
            InputMissingError: the metadata of a table is missing.
            TransientError: the catalog did not answer.
        """
        with catalog_errors(self.name):
            namespaces = self._catalog.list_namespaces()
        while namespaces:
            namespace = namespaces.pop()
            with catalog_errors(self.name):
                namespaces += self._catalog.list_namespaces(namespace)
                identifiers = self._catalog.list_tables(namespace)
            for identifier in identifiers:
                table = self._listed_table(identifier)
                if table is not None:
                    yield table

    def _listed_table(self, identifier: Identifier) -> Table | None:
        from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchTableError

        try:
            with catalog_errors(self.name):
                return self._catalog.load_table(identifier)
        except NoSuchIcebergTableError:
            # Hive and Glue also list tables of other formats.
            return None
        except NoSuchTableError as error:
            raise ConcurrentChangeError(
                f"table {'.'.join(identifier)} of the catalog was dropped or renamed meanwhile",
                hint="run the same command again",
            ) from error

    def pointers(self) -> dict[str, str]:
        """The present metadata file of each table, by name, whether the file is there or not.

        Raises:
            SettingsError: the catalog is not a SQL database.
            TransientError: the catalog did not answer.
        """
        from strata.storage.iceberg.pointers import read_pointers

        with catalog_errors(self.name):
            return read_pointers(self._catalog, self.name)

    def catalog_file(self) -> Path | None:
        """The file of the catalog's database; None where it has none.

        Raises:
            SettingsError: the catalog is not a SQL database.
        """
        from strata.storage.iceberg.pointers import database_file

        return database_file(self._catalog)

    def switch_pointers(
        self, switches: Sequence[PointerSwitch], properties: Mapping[str, str | None]
    ) -> None:
        """Have tables refer to other metadata files, and change properties of the corpus, at once.

        A property of None is removed.

        Raises:
            ConflictError: another run published to one of them meanwhile; nothing was changed.
            SettingsError: the catalog is not a SQL database.
            TransientError: the catalog did not answer.
        """
        from strata.storage.iceberg.pointers import switch_pointers

        with catalog_errors(self.name):
            switch_pointers(self._catalog, self.name, switches, properties)

    def close(self) -> None:
        """Release the catalog's connections."""
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_corpus(settings: Settings) -> Corpus:
    """Open the catalog of a corpus, creating it if it is new.

    Every command comes through here. A corpus is opened only where its catalog, its warehouse and
    its tiers belong together, and nothing is created where they do not. A tier whose store does not
    answer keeps nobody from reading the others. What writes data files opens a corpus by
    :func:`strata.storage.tables.claim.open_to_write`, which needs all of them.

    Raises:
        IdentityError: the catalog or a place is lost, older, a copy or another corpus'.
        SettingsError: a remote warehouse without ``[catalog]``, or a catalog that cannot work.
        MachineError: the warehouse cannot be written.
        TransientError: the catalog did not answer.
    """
    look = _look(settings)
    for pause in SECOND_LOOKS:
        if not look.findings:
            break
        # Another process may be making the corpus: places and catalog are not read at one moment.
        look.close()
        time.sleep(pause)
        look = _look(settings)
    try:
        refuse(settings.corpus, look.findings)
    except IdentityError:
        look.close()
        raise
    return look.corpus()


@dataclass(slots=True)
class Look:
    """A corpus that was looked at: nothing was created, nothing was refused.

    Attributes:
        settings: its settings.
        store: the way to its files.
        membership: what its places and its catalog say.
        findings: what does not fit.
        catalog: the catalog; None where its database is not there.
    """

    settings: Settings
    store: Store
    membership: Membership
    findings: list[Finding]
    catalog: Catalog | None

    def corpus(self, corpus_id: str = "") -> Corpus:
        """The corpus, however its places look; its catalog is created if it is not there.

        Args:
            corpus_id: its identity where the catalog has none; a random one unless given.

        Raises:
            MachineError: the warehouse cannot be written.
            TransientError: the catalog did not answer.
        """
        name, warehouse = self.settings.corpus, Url.parse(self.settings.warehouse)
        if self.catalog is None:
            self.catalog = _load(self.settings, warehouse)
        with catalog_errors(name):
            if not self.membership.entry_id and not self.tables():
                entry = make_entry(self.catalog, name, corpus_id or new_id())
                self.membership = replace(self.membership, entry=entry)
        return Corpus(name, warehouse, self.catalog, self.store, self.membership)

    def tables(self) -> list[str]:
        """Names of the tables that the catalog has."""
        if self.catalog is None or self.membership.entry is None:
            return []
        with catalog_errors(self.settings.corpus):
            return [each[-1] for each in self.catalog.list_tables((self.settings.corpus,))]

    def close(self) -> None:
        """Release the catalog's connections."""
        if self.catalog is not None:
            self.catalog.close()


def look_at(settings: Settings) -> Look:
    """Look whether a catalog, a warehouse and all tiers belong together; creates nothing.

    Raises:
        SettingsError: a remote warehouse without ``[catalog]``, or a catalog that cannot work.
        MachineError: a place may not be read.
        TransientError: the catalog or a store did not answer.
    """
    look = _look(settings)
    try:
        look.membership.files.require_all()
    except StrataError:
        look.close()
        raise
    return look


def _look(settings: Settings) -> Look:
    name, warehouse = settings.corpus, Url.parse(settings.warehouse)
    store, places = open_store(StorageOptions.of(settings)), places_of(settings)
    is_there = _database_exists(_catalog_properties(settings, warehouse))
    files = read_places(store, places)
    catalog = _load(settings, warehouse) if is_there else None
    with catalog_errors(name):
        entry = read_entry(catalog, name) if catalog else None
    look = Look(settings, store, Membership(places, files, entry), [], catalog)
    look.findings = findings_of(name, places, files, entry)
    if not look.findings and not look.membership.entry_id and not look.tables():
        look.findings = _unclaimed(store, places)
    return look


def refuse_places(settings: Settings) -> None:
    """Check that the places of a corpus belong together, without asking the catalog.

    Raises:
        IdentityError: they do not.
    """
    places = places_of(settings)
    files = read_places(open_store(StorageOptions.of(settings)), places)
    refuse(settings.corpus, findings_without_catalog(settings.corpus, places, files))


def _unclaimed(store: Store, places: Sequence[Place]) -> list[Finding]:
    """Places with files of tables, while the catalog has none: an older version made them."""
    found = [
        (place, sum(each.is_named_by_strata for each in table_files(store, place.folder)))
        for place in places
    ]
    return [unclaimed(place, files) for place, files in found if files]


def check_catalog_file(settings: Settings) -> None:
    """Make sure that a catalog in an SQLite file can be written; servers have theirs to say.

    Raises:
        MachineError: the file, or the folder around it, cannot be written.
    """
    uri = _catalog_properties(settings, Url.parse(settings.warehouse)).get("uri", "")
    file = sqlite_file(uri)
    if file is not None:
        check_writable(file)


def _catalog_properties(settings: Settings, warehouse: Url) -> dict[str, str]:
    given = {
        key: str(from_environment(value, "catalog")) for key, value in settings.catalog.items()
    }
    _refuse_password(settings.catalog.get("uri", ""))
    if not given:
        given = {"type": "sql", "uri": _sqlite(warehouse)}
    return given | {"warehouse": str(warehouse)}


def _refuse_password(uri: str) -> None:
    # Settings are shown in reports and stay in their file, so they must not hold a password.
    user, mark, server = uri.partition("://")[2].partition("/")[0].rpartition("@")
    if mark and ":" in user:
        raise SettingsError(
            f"the uri in [catalog] carries the password of its user at {server}",
            hint='leave it out and export PGPASSWORD, or write uri = "env:NAME"',
        )


def _sqlite(warehouse: Url) -> str:
    if warehouse.scheme != "file":
        raise SettingsError(
            f"the warehouse {warehouse} is remote, and a SQLite catalog must be on a local disk",
            hint='add [catalog] with uri = "postgresql+psycopg://…", or a sqlite:/// path of one '
            "driver host",
        )
    return f"sqlite:///{(warehouse / _DATABASE).path}?timeout={_LOCK_SECONDS}"


def _database_exists(properties: Mapping[str, str]) -> bool:
    """Whether the catalog's database is there; servers have theirs."""
    file = sqlite_file(properties.get("uri", ""))
    if file is None:
        return True
    with translated(Url.parse(file), "read"):
        return file.exists()


def _load(settings: Settings, warehouse: Url) -> Catalog:
    from strata.storage.iceberg.file_io import io_properties

    properties = _catalog_properties(settings, warehouse)
    properties |= io_properties(StorageOptions.of(settings))
    if not settings.catalog:
        with translated(warehouse, "make"):
            Path(warehouse.path).mkdir(parents=True, exist_ok=True)
    with catalog_errors(settings.corpus):
        catalog = _loaded(properties)
        if settings.transfer.sync:
            _sync_commits(catalog)
    return catalog


def _loaded(properties: dict[str, str]) -> Catalog:
    from pyiceberg.catalog import load_catalog
    from sqlalchemy.exc import ArgumentError, DBAPIError

    file = sqlite_file(properties.get("uri", ""))
    if file is not None:
        check_reachable(file)
    try:
        return load_catalog(CATALOG_NAME, **properties)
    except DBAPIError as error:
        # Two concurrent first runs: the other one has just made the catalog's tables.
        if not any(words in str(error) for words in _MADE_MEANWHILE):
            raise
        return load_catalog(CATALOG_NAME, **properties)
    except (ArgumentError, ValueError, TypeError, ImportError) as error:
        raise SettingsError(
            f"the catalog in [catalog] cannot be opened: {error}",
            hint="see the properties of PyIceberg's catalogs; SQLite needs none",
        ) from error


def _sync_commits(catalog: Catalog) -> None:
    """Have every commit to a SQLite catalog on the disk before it returns.

    SQLite syncs the database, but not the folder from which it removes its journal: after a power
    cut it would find the journal, and undo a commit by which gc has already deleted files.
    """
    from sqlalchemy import event

    engine = getattr(catalog, "engine", None)
    if engine is None or engine.dialect.name != "sqlite":
        return
    event.listen(engine, "connect", lambda connection, _: connection.execute(_SYNC_FOLDER))
    # The connection that made the catalog's tables is open already.
    with engine.connect() as connection:
        connection.exec_driver_sql(_SYNC_FOLDER)
