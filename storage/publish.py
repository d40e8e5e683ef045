"""Publishing written files: one atomic snapshot a stage and table, however often it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from strata.errors import ConflictError, MachineError, SettingsError, StrataError, TransientError
from strata.storage.parquet import WrittenFile
from strata.storage.records import CONTENT_KEY, RUN_ID
from strata.storage.table import CorpusTable
from strata.version import VERSION

if TYPE_CHECKING:
    from strata.storage.commits import Commit

__all__ = ["PublishMode", "catalog_errors", "publish", "repeat_lost_races", "run_commit"]

_RACES = 20
# A connection that PostgreSQL refuses has no code, only words.
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "no pg_hba.conf entry",
)
Result = TypeVar("Result")


class PublishMode(StrEnum):
    """What a publish does to the rows that are there."""

    APPEND = "append"
    OVERWRITE = "overwrite"


def publish(
    table: CorpusTable,
    files: Sequence[WrittenFile],
    *,
    mode: PublishMode,
    content_key: str,
    run_id: str,
    extra: Mapping[str, str] | None = None,
) -> int | None:
    """Make files part of a table, all at once; safe beside other processes, and to repeat.

    Args:
        table: where to.
        files: what ``TableWriter.close`` returned; none still records the key.
        mode: append, or drop all present files in the same snapshot.
        content_key: names the result by its causes. Where the table holds it already, nothing is
            done and ``files`` stay orphans.
        run_id: the run, for the snapshot's summary.
        extra: more properties of the snapshot.

    Returns:
        The id of the new snapshot, or None if the result was there.

    Raises:
        ConflictError: another process published a different result meanwhile.
        TransientError: the catalog did not answer; nothing was published.
    """
    from strata.storage.commits import AppendCommit, OverwriteCommit
    from strata.storage.partitions.specs import table_for_files, write_under
    from strata.storage.table_commit import OneChange

    properties = {
        **(extra or {}),
        CONTENT_KEY: content_key,
        RUN_ID: run_id,
        "strata.version": VERSION,
    }
    kind = AppendCommit if mode is PublishMode.APPEND else OverwriteCommit
    with catalog_errors(table.name):
        if files:
            write_under(table, files[0].partition.fields)
        iceberg = table_for_files(table, files)
        commit = kind(OneChange(iceberg), properties, content_key)
        if commit.is_published(iceberg.metadata):
            return None
        commit.add_files(files)
        return run_commit(table, commit)


def run_commit(table: CorpusTable, commit: Commit) -> int | None:
    """Carry a commit out.

    Returns:
        The id of its snapshot, or None if another process published the same result first.
    """
    from pyiceberg.exceptions import CommitStateUnknownException
    from sqlalchemy.exc import DBAPIError

    from strata.storage.commits import AlreadyPublishedError

    try:
        commit.run()
    except AlreadyPublishedError:
        return None
    except (CommitStateUnknownException, DBAPIError):
        # The answer was lost, or the database locked: only the table knows how it ended.
        present = table.existing()
        if present is None or present.metadata.snapshot_by_id(commit.snapshot_id) is None:
            raise
    return commit.snapshot_id


def repeat_lost_races(change: Callable[[], Result]) -> Result:
    """Make a change of a table that may lose races; PyIceberg itself repeats snapshots only."""
    from pyiceberg.exceptions import CommitFailedException

    for _ in range(_RACES):
        with suppress(CommitFailedException):
            return change()
    return change()


@contextmanager
def catalog_errors(name: str) -> Iterator[None]:
    """Run a block whose catalog errors become errors of Strata that name the table or corpus."""
    from pyiceberg.exceptions import (
        CommitFailedException,
        CommitStateUnknownException,
        ServerError,
        ServiceUnavailableError,
        ValidationException,
    )
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    try:
        yield
    except StrataError:
        raise
    except (CommitFailedException, ValidationException) as error:
        raise ConflictError(
            f"cannot publish to {name}: another writer changed it meanwhile: {error}",
            hint="let the other run finish, then run the same command again",
        ) from error
    except (
        OperationalError,
        InterfaceError,
        CommitStateUnknownException,
        ServerError,
        ServiceUnavailableError,
    ) as error:
        told = getattr(error, "orig", None) or error
        if any(words in str(told) for words in _REFUSALS):
            raise SettingsError(
                f"the catalog of {name} let nobody in: {told}",
                hint="check uri in [catalog]; PostgreSQL takes the password from PGPASSWORD",
            ) from error
        raise TransientError(
            f"the catalog of {name} did not answer: {told}",
            hint="run the same command again; what was published is not published twice",
        ) from error
    except DBAPIError as error:
        raise MachineError(
            f"the catalog of {name} cannot be used: {error.orig}",
            hint="restore the catalog's database, or name another one in [catalog]",
        ) from error
