"""The tables of one corpus: an Iceberg namespace, opened through any catalog of PyIceberg."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from strata.errors import ConflictError, SettingsError
from strata.settings import TABLES, Settings
from strata.storage.contract import Store
from strata.storage.schemas import SCHEMAS
from strata.storage.store import FsspecStore, StorageOptions
from strata.storage.url import Url
from strata.version import VERSION

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

    from strata.storage.history import TableFile, TableSnapshot

__all__ = ["CATALOG_NAME", "Corpus", "CorpusTable", "open_corpus"]

# Part of the primary key in SQL catalogs, so it may never change.
CATALOG_NAME = "strata"
_DATABASE = "catalog.db"
_LOCK_SECONDS = 60
_LONG_COLUMNS = ("text", "metadata", "signature", "content_hash", "excerpt", "tokens.element")

# Isolation, retries and pruning: the defaults of PyIceberg fail a rewrite beside any append,
# starve a writer among five, and keep every metadata file for ever.
TABLE_PROPERTIES = {
    "format-version": "2",
    "write.delete.isolation-level": "snapshot",
    "write.update.isolation-level": "snapshot",
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "2000",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "strata.version": VERSION,
}


class CorpusTable:
    """One table of a corpus; it comes into being when something is first published to it.

    Every question is answered from the present state of the catalog.
    """

    def __init__(self, catalog: Catalog, corpus: str, name: str, folder: Url) -> None:
        self._catalog = catalog
        self._identifier = (corpus, name)
        self._folder = folder
        self.name = name

    def files(self) -> list[TableFile]:
        """The data files of the present snapshot, ordered by smallest document id."""
        from strata.storage.history import describe_file, live_files

        table = self.existing()
        if table is None:
            return []
        bounded = frozenset({1} if "doc_id" in SCHEMAS[self.name].names else ())
        found = [describe_file(file, bounded) for file in live_files(table.metadata, table.io)]
        return sorted(found, key=lambda file: (file.min_doc_id, file.url))

    @property
    def content_key(self) -> str | None:
        """Key of the newest published result; compaction and moves never change it."""
        from strata.storage.history import CONTENT_KEY

        return self.latest_property(CONTENT_KEY)

    def latest_property(self, name: str) -> str | None:
        """A property of the newest published result."""
        from strata.storage.history import properties_of

        metadata = self._metadata()
        snapshot = metadata.current_snapshot() if metadata else None
        # A rewrite carries the properties of the result that it rewrites.
        return properties_of(snapshot).get(name) if snapshot else None

    def snapshots(self) -> list[TableSnapshot]:
        """All retained snapshots, oldest first."""
        from strata.storage.history import describe_snapshot

        metadata = self._metadata()
        return [describe_snapshot(snapshot) for snapshot in metadata.snapshots] if metadata else []

    @property
    def properties(self) -> dict[str, str]:
        """The table's own properties."""
        metadata = self._metadata()
        return dict(metadata.properties) if metadata else {}

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set properties of the table.

        Raises:
            ConflictError: another writer changed the table all the while.
            TransientError: the catalog did not answer.
        """
        from strata.storage.publish import catalog_errors

        with catalog_errors(self.name):
            table = self.iceberg()
            if any(table.properties.get(name) != value for name, value in properties.items()):
                with table.transaction() as transaction:
                    transaction.set_properties(dict(properties))

    def existing(self) -> Table | None:
        """The Iceberg table in its present state, or None if nothing was ever published.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
        """
        from pyiceberg.exceptions import NoSuchTableError

        try:
            table = self._catalog.load_table(self._identifier)
        except NoSuchTableError:
            return None
        if table.schema().as_struct() != _iceberg_schema(self.name).as_struct():
            raise ConflictError(
                f"table {'.'.join(self._identifier)} at {table.location()} has other columns than "
                f"Strata {VERSION} writes (it was made by {table.properties.get('strata.version')})",
                hint="use another corpus name or warehouse, or the version that made it",
            )
        return table

    def iceberg(self) -> Table:
        """The Iceberg table, made now if need be."""
        from pyiceberg.exceptions import TableAlreadyExistsError

        table = self.existing()
        while table is None:
            with suppress(TableAlreadyExistsError):
                self._catalog.create_table(
                    self._identifier,
                    schema=_iceberg_schema(self.name),
                    location=str(self._folder),
                    properties=TABLE_PROPERTIES | _metrics(self.name),
                )
            table = self.existing()
        return table

    def _metadata(self) -> TableMetadata | None:
        table = self.existing()
        return table.metadata if table else None


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
            raise SettingsError(f"there is no table {name!r}", hint=f"use one of {', '.join(TABLES)}")
        return CorpusTable(self._catalog, self.name, name, self.warehouse / self.name / name)

    def existing_tables(self) -> list[str]:
        """Names of the tables that something was published to, in the order of the stages."""
        present = {identifier[-1] for identifier in self._catalog.list_tables((self.name,))}
        return [name for name in TABLES if name in present]

    def close(self) -> None:
        """Give the catalog's connections back."""
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_corpus(settings: Settings) -> Corpus:
    """Open the catalog of a corpus, making it where it is new.

    Raises:
        SettingsError: a remote warehouse without ``[catalog]``, or a catalog that cannot work.
        MachineError: the warehouse cannot be written.
        TransientError: the catalog did not answer.
    """
    from strata.storage.fileio import io_properties
    from strata.storage.publish import catalog_errors

    warehouse = Url.parse(settings.warehouse)
    store = FsspecStore(StorageOptions(settings.storage_options))
    properties = _catalog_properties(settings, warehouse)
    properties |= io_properties(settings.storage_options)
    with catalog_errors(settings.corpus):
        catalog = _load(properties)
        _make_namespace(catalog, settings.corpus)
    return Corpus(settings.corpus, warehouse, catalog, store)


def _catalog_properties(settings: Settings, warehouse: Url) -> dict[str, str]:
    given = {key: os.path.expandvars(value) for key, value in settings.catalog.items()}
    if not given:
        given = {"type": "sql", "uri": _sqlite(warehouse)}
    return given | {"warehouse": str(warehouse)}


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

    try:
        return load_catalog(CATALOG_NAME, **properties)
    except (ValueError, TypeError, ImportError) as error:
        raise SettingsError(
            f"the catalog in [catalog] cannot be opened: {error}",
            hint="see the properties of PyIceberg's catalogs; SQLite needs none",
        ) from error


def _make_namespace(catalog: Catalog, corpus: str) -> None:
    from pyiceberg.exceptions import NamespaceAlreadyExistsError

    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace_if_not_exists(corpus)


def _iceberg_schema(name: str) -> Schema:
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    return pyarrow_to_schema(SCHEMAS[name])


def _metrics(name: str) -> dict[str, str]:
    # Bounds of long values would only make manifests large.
    long_columns = [
        column for column in _LONG_COLUMNS if column.partition(".")[0] in SCHEMAS[name].names
    ]
    return {f"write.metadata.metrics.column.{column}": "counts" for column in long_columns}
