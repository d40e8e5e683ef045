"""The tables of one corpus: an Iceberg namespace, opened through any catalog of PyIceberg."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from strata.errors import ConflictError, SettingsError
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions, from_environment
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.records import TableFile, TableSnapshot
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.tables.table import CorpusTable
from strata.tables import table_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.typedef import Identifier

    from strata.storage.iceberg.pointers import PointerSwitch

__all__ = ["CATALOG_NAME", "Corpus", "CorpusTable", "TableFile", "TableSnapshot", "open_corpus"]

# Part of the primary key in SQL catalogs, so it may never change.
CATALOG_NAME = "strata"
_DATABASE = "catalog.db"
_LOCK_SECONDS = 60
# SQLite and PostgreSQL report the first; PostgreSQL reports the second in a race.
_MADE_MEANWHILE = ("already exists", "duplicate key value")


class Corpus:
    """The tables of one corpus. Belongs to the driver: it cannot be pickled."""

    def __init__(self, name: str, warehouse: Url, catalog: Catalog, store: Store) -> None:
        self.name = name
        self.warehouse = warehouse
        self.store = store
        self._catalog = catalog

    def table(self, name: str) -> CorpusTable:
        """A table by its name.

        Raises:
            SettingsError: there is no such table.
        """
        if name not in SCHEMAS:
            raise SettingsError(
                f"there is no table {name!r}", hint=f"use one of {', '.join(table_names())}"
            )
        return CorpusTable(self._catalog, self.name, name, self.warehouse / self.name / name)

    def sibling(self, name: str) -> Corpus:
        """Another corpus of the same catalog.

        Raises:
            SettingsError: there is no such corpus.
        """
        with catalog_errors(name):
            present = sorted(identifier[-1] for identifier in self._catalog.list_namespaces())
        if name not in present:
            raise SettingsError(
                f"the catalog has no corpus {name!r}", hint=f"it has: {', '.join(present)}"
            )
        return Corpus(name, self.warehouse, self._catalog, self.store)

    def existing_tables(self) -> list[str]:
        """Names of the tables that have been published to, in the order of the stages."""
        with catalog_errors(self.name):
            present = {identifier[-1] for identifier in self._catalog.list_tables((self.name,))}
        return [name for name in table_names() if name in present]

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
            raise ConflictError(
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

    def switch_pointers(
        self, switches: Sequence[PointerSwitch], properties: Mapping[str, str]
    ) -> None:
        """Have tables refer to other metadata files, and set properties of the corpus, all at once.

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

    Raises:
        SettingsError: a remote warehouse without ``[catalog]``, or a catalog that cannot work.
        MachineError: the warehouse cannot be written.
        TransientError: the catalog did not answer.
    """
    from strata.storage.iceberg.file_io import io_properties

    warehouse = Url.parse(settings.warehouse)
    options = StorageOptions.of(settings)
    properties = _catalog_properties(settings, warehouse)
    properties |= io_properties(options)
    with catalog_errors(settings.corpus):
        catalog = _load(properties)
        _make_namespace(catalog, settings.corpus)
    return Corpus(settings.corpus, warehouse, catalog, open_store(options))


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
    Path(warehouse.path).mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(warehouse / _DATABASE).path}?timeout={_LOCK_SECONDS}"


def _load(properties: dict[str, str]) -> Catalog:
    from pyiceberg.catalog import load_catalog
    from sqlalchemy.exc import ArgumentError, DBAPIError

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


def _make_namespace(catalog: Catalog, name: str) -> None:
    from pyiceberg.exceptions import NamespaceAlreadyExistsError
    from sqlalchemy.exc import IntegrityError

    if not catalog.namespace_exists(name):
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            catalog.create_namespace(name)
