"""A corpus from Python: what the commands do, as functions.

    import strata

    with strata.open("corpus.toml", overrides={"dedup.threshold": 0.9}) as corpus:
        report = corpus.run()
        print(report.status, corpus.tables())
        clean = corpus.table("clean")
        print(clean.count(), clean.count(where="source = 'web'"))
        for batch in clean.to_arrow_batches(columns=["doc_id", "text"]):
            ...
        trace = corpus.explain("doc-17")

Opening reads the settings and nothing else: the catalog is opened when a table is first needed, and
Spark starts when a stage first needs it. Where Spark is already running in this process, the tasks
run there, and it is not stopped. Every failure is a :class:`strata.StrataError`; nothing is printed
by default, and no signal handler is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strata.errors import SettingsError
from strata.jobs.runner.launch import launch, new_run_id, stages_of
from strata.jobs.runner.options import RunOptions
from strata.layers import load_settings
from strata.stages import STAGE_COMMANDS
from strata.storage.contracts.options import StorageOptions
from strata.storage.transfer.metering import MeteredStore
from strata.toml_text import toml_value

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from strata.jobs.runner.run import RunReport
    from strata.pipelines.explain.document import Trace
    from strata.settings import Settings
    from strata.storage.layout.records import TableFile, TableSnapshot
    from strata.storage.reading.read_plan import ReadPart
    from strata.storage.tables import catalog
    from strata.storage.tables.table import CorpusTable

__all__ = ["QUIET", "Corpus", "Table", "open"]

QUIET = -1
"""The verbosity that prints nothing."""
# The name under which DuckDB sees the rows that it copies.
_STREAM = "strata_stream"


def open(file: Path | str, overrides: Mapping[str, object] | None = None) -> Corpus:
    """Open the corpus of a settings file.

    Args:
        file: the settings file.
        overrides: values by key, as in ``{"dedup.threshold": 0.9}``; they win over the file, as
            ``--set`` does.

    Raises:
        SettingsError: the file is missing or not TOML, or keys or values are wrong; one message
            lists all of these problems.
    """
    texts = [f"{key}={_text(key, value)}" for key, value in (overrides or {}).items()]
    return Corpus(load_settings(Path(file), texts).settings)


def _text(key: str, value: object) -> str:
    try:
        return toml_value(str(value) if isinstance(value, Path) else value)
    except TypeError as error:
        raise SettingsError(
            f"the override of {key} is {value!r}: {error}", hint="give text, numbers or lists"
        ) from error


class Corpus:
    """One corpus: its stages, tables and reports.

    It belongs to the process that opened it. Closing it releases the catalog's connections.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._catalog: catalog.Corpus | None = None

    @property
    def name(self) -> str:
        """The name of the corpus."""
        return self.settings.corpus

    def run(
        self,
        stages: Sequence[str] = ("run",),
        *,
        run_id: str | None = None,
        master: str | None = None,
        verbosity: int = QUIET,
    ) -> RunReport:
        """Run stages, as ``strata run`` and its sisters do; what is up to date is skipped.

        Args:
            stages: of shard, dedup, tokenize and compress, in this order; ``run`` is all of them.
            run_id: name of the run; made from the time unless given.
            master: Spark master; the default is that of the settings, else ``local[*]``. A running
                Spark session keeps its own.
            verbosity: -1 prints nothing, 0 shows the progress on stderr, 1 and 2 Spark's log too.

        Returns:
            The report, which is also stored in the warehouse; its seconds are wall-clock time.

        Raises:
            SettingsError: there is no such stage, or the settings cannot work.
            InputError: the inputs are missing, have changed, or too much of them is unreadable.
            ConflictError: another writer was in the way.
            BalanceError: rows in and rows out differ, so nothing was published.
            MachineError: Spark cannot start here, or the machine lacks memory or disk.
            TransientError: a store or a service failed; a retry may succeed.
        """
        unknown = [stage for stage in stages if stage not in STAGE_COMMANDS]
        if unknown or not stages or isinstance(stages, str):
            raise SettingsError(
                f"there are no stages {stages!r}", hint=f"list some of {', '.join(STAGE_COMMANDS)}"
            )
        options = RunOptions(", ".join(stages), run_id or new_run_id(), master, verbosity)
        return launch(
            self.settings, lambda: [each for stage in stages for each in stages_of(stage)], options
        )

    def plan(self) -> dict[str, dict[str, Any]]:
        """What a run would do, as ``strata plan --json`` prints it; starts no Spark.

        Raises:
            InputError: an input is missing, or has changed.
        """
        from strata.jobs.planning.dry_run import plan_facts

        return plan_facts(self.settings)

    def tables(self) -> list[str]:
        """Names of the tables that have been published to, in the order of the stages."""
        return self._opened().existing_tables()

    def table(self, name: str) -> Table:
        """A table by its name; it is empty where nothing was published.

        Raises:
            SettingsError: there is no such table.
        """
        return Table(self._opened(), name)

    def explain(self, document: str | int, *, members: int = 10) -> Trace:
        """The path of one document through the stages, and its duplicates.

        Args:
            document: the user's id, a ``doc_id``, or ``uri:position`` of a record.
            members: most documents of its cluster to list.

        Raises:
            InputMissingError: nothing by that name was read.
        """
        from strata.jobs.explain_document import explain

        return explain(self.settings, str(document), members)

    def report(self, run_id: str | None = None) -> RunReport:
        """The stored report of a run, of the newest one by default.

        Raises:
            InputMissingError: the corpus has no report, or none of that run.
            InputError: it is damaged, or of a newer version.
        """
        from strata.jobs.report.files import ReportFiles
        from strata.storage.stores.opening import open_store

        store = open_store(StorageOptions.of(self.settings))
        return ReportFiles.of(self.settings, store).run(run_id)

    def close(self) -> None:
        """Release the catalog's connections; it is opened again when it is next needed."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<corpus {self.name} in {self.settings.warehouse}>"

    def _opened(self) -> catalog.Corpus:
        if self._catalog is None:
            from strata.storage.tables.catalog import open_corpus

            self._catalog = open_corpus(self.settings)
        return self._catalog


class Table:
    """One table of a corpus, for reading; every call uses its present state by default.

    ``snapshot`` always is the id or tag of an older state. ``where`` is a condition such as
    ``"doc_id >= 5 and source in ('web', 'wiki')"``: files and row groups that cannot have such
    rows are not read.
    """

    def __init__(self, corpus: catalog.Corpus, name: str) -> None:
        self._corpus = corpus
        self._table: CorpusTable = corpus.table(name)
        self.name = name

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        from strata.storage.layout.schemas import SCHEMAS

        return SCHEMAS[self.name]

    def files(self, *, snapshot: int | str | None = None) -> list[TableFile]:
        """The data files with URL, rows and bytes on disk, by smallest document id.

        Raises:
            SettingsError: there is no such snapshot.
        """
        return self._table.files(self._snapshot_id(snapshot))

    def snapshots(self) -> list[TableSnapshot]:
        """All retained states, oldest first."""
        return self._table.snapshots()

    def count(self, *, where: str = "", snapshot: int | str | None = None) -> int:
        """Number of rows; without a condition it comes from the catalog, and no file is read.

        Raises:
            SettingsError: there is no such snapshot, or the condition cannot be read.
        """
        if not where.strip():
            return sum(file.rows for file in self.files(snapshot=snapshot))
        batches = self.to_arrow_batches([self.schema.names[0]], where=where, snapshot=snapshot)
        return sum(batch.num_rows for batch in batches)

    def to_arrow_batches(
        self,
        columns: Sequence[str] = (),
        *,
        where: str = "",
        snapshot: int | str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of some MB, one after the other, from all tiers.

        Files are listed now, and read by this process alone as the batches are consumed.

        Args:
            columns: the columns, in this order; all by default.
            where: which rows.
            snapshot: id or tag of an older state.

        Raises:
            SettingsError: there is no such column or snapshot, or the condition cannot be read.
            InputError: while reading: a file is damaged, or missing.
            TransientError: while reading: a store failed again and again.
        """
        from strata.storage.reading.conditions import parse_condition
        from strata.storage.reading.read_plan import ReadPart, pack

        chosen = self._columns(columns)
        predicates = parse_condition(where, self.schema)
        files = self._table.files(self._snapshot_id(snapshot), predicates)
        (pieces,) = pack(files, 1 << 62) or [()]
        return self._read(ReadPart(pieces, chosen, predicates))

    def scan(
        self,
        columns: Sequence[str] = (),
        *,
        where: str = "",
        snapshot: int | str | None = None,
    ) -> pa.RecordBatchReader:
        """The rows as an Arrow stream, which PyArrow, Polars, DuckDB and pandas read as it is.

        It streams and can be read once. Arguments and errors are those of `to_arrow_batches`;
        errors while reading are raised unchanged by the reader's own methods; other engines wrap
        them in errors of their own.
        """
        import pyarrow as pa

        batches = self.to_arrow_batches(columns, where=where, snapshot=snapshot)
        schema = pa.schema([self.schema.field(name) for name in self._columns(columns)])
        return pa.RecordBatchReader.from_batches(schema, batches)

    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        columns: Sequence[str] = (),
        *,
        where: str = "",
        snapshot: int | str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Copy the rows into a temporary table of DuckDB, named like the table; returns it.

        DuckDB can then query it repeatedly without the stores; `scan` copies nothing.

        Args:
            connection: where the table is created; a new database in memory by default.
            columns: the columns; all by default.
            where: which rows.
            snapshot: id or tag of an older state.
        """
        import duckdb

        database = duckdb.connect() if connection is None else connection
        database.register(_STREAM, self.scan(columns, where=where, snapshot=snapshot))
        try:
            database.execute(f"create or replace temp table {self.name} as from {_STREAM}")
        finally:
            database.unregister(_STREAM)
        return database.table(f"temp.main.{self.name}")

    def to_polars(
        self, columns: Sequence[str] = (), *, where: str = "", snapshot: int | str | None = None
    ) -> pl.DataFrame:
        """The rows as a Polars frame, in memory."""
        import polars as pl

        return pl.DataFrame(self.scan(columns, where=where, snapshot=snapshot))

    def to_pandas(
        self, columns: Sequence[str] = (), *, where: str = "", snapshot: int | str | None = None
    ) -> pd.DataFrame:
        """The rows as a pandas frame, in memory."""
        return self.scan(columns, where=where, snapshot=snapshot).read_pandas()

    def __repr__(self) -> str:
        return f"<table {self.name} of corpus {self._corpus.name}>"

    def _snapshot_id(self, name: int | str | None) -> int | None:
        return self._table.snapshot_id("" if name is None else str(name))

    def _columns(self, names: Sequence[str]) -> tuple[str, ...]:
        known = self.schema.names
        unknown = [name for name in names if name not in known]
        if unknown or isinstance(names, str):
            raise SettingsError(
                f"table {self.name} has no columns {unknown or names!r}",
                hint=f"list some of {', '.join(known)}",
            )
        return tuple(dict.fromkeys(names)) or tuple(known)

    def _read(self, part: ReadPart) -> Iterator[pa.RecordBatch]:
        from strata.jobs.runner.read_log import log_driver_reads
        from strata.storage.reading.read_plan import read_part

        store = MeteredStore(self._corpus.store)
        try:
            for batch in read_part(store, part):
                if batch.num_rows:
                    yield batch
        finally:
            log_driver_reads(self._corpus, "python", store.meter)
