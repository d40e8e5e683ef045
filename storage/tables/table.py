"""One Iceberg table of a corpus: its files, its history, its properties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from strata.errors import ConflictError, SettingsError
from strata.partition_settings import PartitionField
from strata.storage.contracts.url import Url
from strata.storage.layout.records import CONTENT_KEY, PRESENT, TableFile, TableSnapshot
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.predicates import Predicate
from strata.version import VERSION

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["TABLE_PROPERTIES", "CorpusTable", "TableReader", "TableState"]

_MAIN_BRANCH = "main"
# First columns that number documents; files are known by their smallest and largest one.
_NUMBERED = frozenset({"doc_id", "a"})
_LONG_COLUMNS = (
    *("text", "metadata", "signature", "content_hash", "excerpt", "sample"),
    "tokens.element",
)

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


class TableReader(ABC):
    """What can be asked of a table: its files, its history, its properties."""

    def __init__(self, corpus: str, name: str) -> None:
        self._identifier = (corpus, name)
        self.name = name

    @abstractmethod
    def existing(self) -> Table | None:
        """The Iceberg table that answers, or None if nothing was ever published.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
        """

    def files(
        self, snapshot: int | None = None, predicates: Sequence[Predicate] = ()
    ) -> list[TableFile]:
        """The data files of a snapshot, the present one by default, by smallest document id.

        Args:
            snapshot: its id.
            predicates: files that cannot have a row which meets all of them are left out.

        Raises:
            SettingsError: there is no such snapshot.
        """
        from strata.storage.iceberg.snapshots import live_files, matching_files

        table = self.existing()
        if table is None:
            return []
        if snapshot is not None:
            self._known(table.metadata, snapshot)
        if predicates:
            listed = matching_files(table, predicates, snapshot)
        else:
            listed = live_files(table.metadata, table.io, snapshot)
        return self._described(listed, table.metadata)

    def files_of_ref(self, ref: str) -> list[TableFile]:
        """The data files of a tag or branch, by smallest document id; none where it is not there.

        :data:`PRESENT` is the table as it is.
        """
        from strata.storage.iceberg.snapshots import files_of_ref

        table = self.existing()
        return self._described(files_of_ref(table, ref), table.metadata) if table else []

    def _described(self, files: Sequence[DataFile], metadata: TableMetadata) -> list[TableFile]:
        from strata.storage.iceberg.partition_specs import fields_by_spec

        specs = fields_by_spec(metadata)
        found = [self.describe(file, specs) for file in files]
        return sorted(found, key=lambda file: (file.min_doc_id, file.url))

    def describe(
        self, file: DataFile, specs: Mapping[int, tuple[PartitionField, ...]]
    ) -> TableFile:
        """A data file of the table as a plain record; ``specs`` as `fields_by_spec` gives them."""
        from strata.storage.iceberg.partition_specs import partition_of
        from strata.storage.iceberg.snapshots import describe_file

        numbered = SCHEMAS[self.name].names[0] in _NUMBERED
        return describe_file(file, frozenset({1} if numbered else ()), partition_of(file, specs))

    def snapshot_id(self, name: str = "") -> int | None:
        """Id of a snapshot that is named by its id or a tag; without a name of the present one.

        Returns:
            None where nothing was ever published and none is named.

        Raises:
            SettingsError: there is no such snapshot.
        """
        from strata.storage.iceberg.snapshots import snapshot_named

        metadata = self._metadata()
        if not name:
            return metadata.current_snapshot_id if metadata else None
        snapshot = snapshot_named(metadata, name) if metadata else None
        if snapshot is None:
            raise self._unknown(metadata, name)
        return snapshot.snapshot_id

    def _known(self, metadata: TableMetadata, snapshot: int) -> None:
        if metadata.snapshot_by_id(snapshot) is None:
            raise self._unknown(metadata, str(snapshot))

    def _unknown(self, metadata: TableMetadata | None, name: str) -> SettingsError:
        kept = [str(each.snapshot_id) for each in metadata.snapshots] if metadata else []
        tags = [each for each in metadata.refs if each != _MAIN_BRANCH] if metadata else []
        return SettingsError(
            f"table {'.'.join(self._identifier)} has no snapshot {name}",
            hint=f"its snapshots are: {', '.join([*kept, *sorted(tags)]) or 'none'}",
        )

    def carries(self, content_key: str) -> bool:
        """Whether a result is still in the table: appended to since, but never overwritten.

        A result whose snapshot has expired counts as gone.
        """
        from strata.storage.iceberg.snapshots import carries_key

        metadata = self._metadata()
        return metadata is not None and carries_key(metadata, content_key)

    @property
    def content_key(self) -> str | None:
        """Key of the newest published result; compaction and moves never change it."""
        return self.latest_property(CONTENT_KEY)

    def latest_property(self, name: str) -> str | None:
        """A property of the newest published result."""
        return self.property_of_ref(PRESENT, name)

    def property_of_ref(self, ref: str, name: str) -> str | None:
        """A property of the result that a tag or branch names; None where it is not there."""
        from strata.storage.iceberg.snapshots import properties_of

        metadata = self._metadata()
        snapshot = metadata.snapshot_by_name(ref) if metadata else None
        # A rewrite carries the properties of the result that it rewrites.
        return properties_of(snapshot).get(name) if snapshot else None

    def snapshots(self) -> list[TableSnapshot]:
        """All retained snapshots, oldest first."""
        from strata.storage.iceberg.snapshots import describe_snapshot

        metadata = self._metadata()
        return [describe_snapshot(snapshot) for snapshot in metadata.snapshots] if metadata else []

    @property
    def properties(self) -> dict[str, str]:
        """The table's own properties."""
        metadata = self._metadata()
        return dict(metadata.properties) if metadata else {}

    def _metadata(self) -> TableMetadata | None:
        table = self.existing()
        return table.metadata if table else None


class TableState(TableReader):
    """A table as it was when it was loaded: each question has the same answer for ever.

    Only the list of its files is read when it is asked for; no snapshot ever changes its files.
    """

    def __init__(self, corpus: str, name: str, loaded: Table | None) -> None:
        super().__init__(corpus, name)
        self._loaded = loaded

    def existing(self) -> Table | None:
        """The Iceberg table as it was then, or None if nothing had been published."""
        return self._loaded


class CorpusTable(TableReader):
    """One table of a corpus; it comes into being when something is first published to it.

    Every question is answered from the present state of the catalog.
    """

    def __init__(self, catalog: Catalog, corpus: str, name: str, folder: Url) -> None:
        super().__init__(corpus, name)
        self._catalog = catalog
        self._folder = folder

    def state(self) -> TableState:
        """The table as it is now, loaded once for all further questions.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
            TransientError: the catalog did not answer.
        """
        return TableState(*self._identifier, self.existing())

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set properties of the table.

        Raises:
            ConflictError: another writer changed the table all the while.
            TransientError: the catalog did not answer.
        """
        from strata.storage.iceberg.catalog_errors import catalog_errors, retry_lost_races

        with catalog_errors(self.name):
            retry_lost_races(lambda: self._set_properties(properties))

    def _set_properties(self, properties: Mapping[str, str]) -> None:
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

        from strata.storage.iceberg.catalog_errors import catalog_errors

        try:
            with catalog_errors(self.name):
                table = self._catalog.load_table(self._identifier)
        except NoSuchTableError:
            return None
        if table.schema().as_struct() != _iceberg_schema(self.name).as_struct():
            made_by = table.properties.get("strata.version")
            raise ConflictError(
                f"table {'.'.join(self._identifier)} at {table.location()} has other columns than "
                f"Strata {VERSION} writes: version {made_by} made it",
                hint="use another corpus name or warehouse, or the version that made it",
            )
        return table

    def iceberg(self, partition_by: tuple[PartitionField, ...] = ()) -> Table:
        """The Iceberg table, made now if need be, and then partitioned by these fields."""
        from pyiceberg.exceptions import TableAlreadyExistsError

        from strata.storage.iceberg.partition_specs import iceberg_spec

        table = self.existing()
        while table is None:
            with suppress(TableAlreadyExistsError):
                schema = _iceberg_schema(self.name)
                self._catalog.create_table(
                    self._identifier,
                    schema=schema,
                    partition_spec=iceberg_spec(schema, partition_by),
                    location=str(self._folder),
                    properties=TABLE_PROPERTIES | _metrics(self.name),
                )
            table = self.existing()
        return table


def _iceberg_schema(name: str) -> Schema:
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    return pyarrow_to_schema(SCHEMAS[name])


def _metrics(name: str) -> dict[str, str]:
    leaves = {"tokens": "tokens.element"}
    columns = {leaves.get(column, column) for column in SCHEMAS[name].names}
    return {
        f"write.metadata.metrics.column.{column}": "none"
        for column in _LONG_COLUMNS
        if column in columns
    }
