"""One Iceberg table of a corpus: its files, its history, its properties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from strata.errors import ConcurrentChangeError, ConflictError, SettingsError
from strata.partition_settings import PartitionField
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors, retry_lost_races
from strata.storage.layout.properties import CONTENT_KEY, VERSION_KEY
from strata.storage.layout.records import PRESENT, TableFile, TableSnapshot
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.predicates import Predicate
from strata.storage.tables.belonging import TableWatch
from strata.storage.writing.parquet import WrittenFile
from strata.version import VERSION

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

    from strata.storage.iceberg.table_records import TableRecords

__all__ = ["TABLE_PROPERTIES", "CorpusTable", "TableReader", "TableState"]

_LONG_COLUMNS = (
    *("text", "metadata", "signature", "content_hash", "excerpt", "sample"),
    "tokens.element",
)

# Isolation, retries and pruning: with PyIceberg's defaults a rewrite fails beside any append, one
# writer among five starves, and every metadata file is kept for ever.
TABLE_PROPERTIES = {
    "format-version": "2",
    "write.delete.isolation-level": "snapshot",
    "write.update.isolation-level": "snapshot",
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "2000",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    VERSION_KEY: VERSION,
}


class TableReader(ABC):
    """Read access to a table: its files, its history, its properties."""

    def __init__(self, corpus: str, name: str) -> None:
        self._identifier = (corpus, name)
        self.name = name

    @abstractmethod
    def existing(self) -> Table | None:
        """The Iceberg table to read, or None if nothing was ever published.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
        """

    def exists(self) -> bool:
        """Whether anything was ever published to it."""
        return self.existing() is not None

    def files(
        self, snapshot: int | None = None, predicates: Sequence[Predicate] = ()
    ) -> list[TableFile]:
        """The data files of a snapshot, the present one by default, by smallest document id.

        Args:
            snapshot: its id.
            predicates: files that cannot have a row that meets all of them are left out.

        Raises:
            SettingsError: there is no such snapshot.
        """
        records = self._records()
        if records is None:
            return []
        if snapshot is not None and records.snapshot_id(str(snapshot)) is None:
            raise self._unknown(records, str(snapshot))
        return records.files(snapshot, predicates)

    def files_of_ref(self, ref: str) -> list[TableFile]:
        """The data files of a tag or branch, by smallest document id; none where it does not exist.

        :data:`PRESENT` is the present table.
        """
        records = self._records()
        return records.files_of_ref(ref) if records else []

    def snapshot_id(self, name: str = "") -> int | None:
        """Id of a snapshot that is named by its id or a tag; without a name, of the present one.

        Returns:
            None where nothing was ever published and no name is given.

        Raises:
            SettingsError: there is no such snapshot.
        """
        records = self._records()
        if not name:
            return records.table.metadata.current_snapshot_id if records else None
        found = records.snapshot_id(name) if records else None
        if found is None:
            raise self._unknown(records, name)
        return found

    def _unknown(self, records: TableRecords | None, name: str) -> SettingsError:
        kept = [str(each.snapshot_id) for each in records.snapshots()] if records else []
        tags = [each for each in records.refs() if each != PRESENT] if records else []
        return SettingsError(
            f"table {'.'.join(self._identifier)} has no snapshot {name}",
            hint=f"its snapshots are: {', '.join([*kept, *sorted(tags)]) or 'none'}",
        )

    def carries(self, content_key: str) -> bool:
        """Whether a result is still in the table: perhaps appended to since, but never overwritten.

        A result whose snapshot has expired counts as gone.
        """
        records = self._records()
        return records is not None and records.carries(content_key)

    @property
    def content_key(self) -> str | None:
        """Key of the newest published result; compaction and moves never change it."""
        return self.latest_property(CONTENT_KEY)

    def latest_property(self, name: str) -> str | None:
        """A property of the newest published result."""
        return self.property_of_ref(PRESENT, name)

    def property_of_ref(self, ref: str, name: str) -> str | None:
        """A property of the result that a tag or branch names; None where there is none."""
        records = self._records()
        return records.property_of_ref(ref, name) if records else None

    def snapshots(self) -> list[TableSnapshot]:
        """All retained snapshots, oldest first."""
        records = self._records()
        return records.snapshots() if records else []

    def snapshots_of_result(self, ref: str = PRESENT) -> list[int]:
        """Ids of the snapshots that hold rows of one result, including rewrites.

        The result is the present one or that of a tag or branch; where the two are the same, the
        snapshots of both are returned.
        """
        records = self._records()
        return records.snapshots_of_result(ref) if records else []

    def refs(self) -> dict[str, int]:
        """The snapshot of each tag and branch, including :data:`PRESENT`."""
        records = self._records()
        return records.refs() if records else {}

    def tags(self) -> dict[str, int]:
        """The snapshot of each tag."""
        records = self._records()
        return records.tags() if records else {}

    @property
    def properties(self) -> dict[str, str]:
        """The table's own properties."""
        table = self.existing()
        return dict(table.properties) if table else {}

    def _records(self) -> TableRecords | None:
        from strata.storage.iceberg.table_records import TableRecords

        table = self.existing()
        return TableRecords(table) if table else None


class TableState(TableReader):
    """A table as it was when it was loaded: every query always returns the same result.

    Only the list of its files is read on demand; a snapshot never changes its files.
    """

    def __init__(self, corpus: str, name: str, loaded: Table | None) -> None:
        super().__init__(corpus, name)
        self._loaded = loaded

    def existing(self) -> Table | None:
        """The Iceberg table as it was loaded, or None if nothing had been published."""
        return self._loaded


class CorpusTable(TableReader):
    """One table of a corpus; it is created when something is first published to it.

    Every query reads the present state of the catalog.
    """

    def __init__(
        self, catalog: Catalog, corpus: str, name: str, folder: Url, watch: TableWatch
    ) -> None:
        super().__init__(corpus, name)
        self._catalog = catalog
        self._folder = folder
        self._watch = watch

    def state(self) -> TableState:
        """The table as it is now, loaded once for all further queries.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
            TransientError: the catalog did not answer.
        """
        return TableState(*self._identifier, self.existing())

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set properties of the table.

        Raises:
            ConflictError: another writer kept changing the table.
            TransientError: the catalog did not answer.
        """
        with catalog_errors(self.name):
            retry_lost_races(lambda: self._set_properties(properties))

    def _set_properties(self, properties: Mapping[str, str]) -> None:
        table = self.iceberg()
        if any(table.properties.get(name) != value for name, value in properties.items()):
            with table.transaction() as transaction:
                transaction.set_properties(dict(properties))

    def return_to(self, snapshot: int, *, expected: int | None) -> None:
        """Return the table to its state at a snapshot; nothing is done where it already is there.

        Args:
            snapshot: id of a retained snapshot.
            expected: id of the snapshot that the table is at now.

        Raises:
            ConflictError: the table is at another snapshot, or the one to return to has expired.
            TransientError: the catalog did not answer.
        """
        with catalog_errors(self.name):
            table = self.iceberg()
            head = table.metadata.current_snapshot_id
            if head == snapshot:
                return
            if head != expected:
                raise ConcurrentChangeError(
                    f"another run published to {self.name} meanwhile",
                    hint="let the other run finish, then run the same command again",
                )
            try:
                # The catalog compares the present snapshot once more when it commits.
                table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot).commit()
            except ValueError as error:
                raise ConflictError(
                    f"snapshot {snapshot} of {self.name} has just expired: {error}",
                    hint="see `strata storage snapshots` and take another state, or run "
                    "`strata run`",
                ) from error

    def set_default_spec(self, fields: tuple[PartitionField, ...]) -> None:
        """Partition the table's new files by these fields; the table is created now if need be.

        Raises:
            ConflictError: another writer kept changing the table.
            TransientError: the catalog did not answer.
        """
        from strata.storage.iceberg.partition_evolution import set_default_spec

        with catalog_errors(self.name):
            set_default_spec(partial(self.iceberg, fields), fields)

    def iceberg_for(self, files: Iterable[WrittenFile]) -> Table:
        """The Iceberg table, created now if need be, with a spec for each of the files."""
        from strata.storage.iceberg.partition_specs import spec_of

        wanted = dict.fromkeys(file.partition.fields for file in files)
        table = self.iceberg(next(iter(wanted), ()))
        missing = [fields for fields in wanted if spec_of(table.metadata, fields) is None]
        for fields in missing:
            self.set_default_spec(fields)
        return self.iceberg() if missing else table

    def existing(self) -> Table | None:
        """The Iceberg table in its present state, or None if nothing was ever published.

        Raises:
            ConflictError: another version of Strata made the table with other columns.
            IdentityError: it lies outside of the warehouse, or is lost or older than it was.
        """
        from pyiceberg.exceptions import NoSuchTableError

        try:
            with catalog_errors(self.name):
                table = self._catalog.load_table(self._identifier)
        except NoSuchTableError:
            self._watch.missing(self.name)
            return None
        self._watch.loaded(self.name, table.metadata_location, table.location())
        if table.schema().as_struct() != _iceberg_schema(self.name).as_struct():
            made_by = table.properties.get(VERSION_KEY)
            raise ConflictError(
                f"table {'.'.join(self._identifier)} at {table.location()} has other columns than "
                f"Strata {VERSION} writes: version {made_by} made it",
                hint="use another corpus name or warehouse, or the version that made it",
            )
        return table

    def iceberg(self, partition_by: tuple[PartitionField, ...] = ()) -> Table:
        """The Iceberg table; if it is created now, it is partitioned by these fields."""
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
