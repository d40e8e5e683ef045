"""Errors of the catalog as errors of Strata, and changes that are retried after a lost race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from strata.errors import (
    ConcurrentChangeError,
    MachineError,
    SettingsError,
    StrataError,
    TransientError,
)

__all__ = ["catalog_errors", "retry_lost_races"]

_RACES = 20
# A connection that PostgreSQL refuses has no error code, only a message.
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "no pg_hba.conf entry",
)
# What SQLite and PostgreSQL say where nothing may be written; trying again does not help.
_READ_ONLY = (
    "readonly database",
    "unable to open database file",
    "read-only transaction",
    "permission denied",
)
Result = TypeVar("Result")


def retry_lost_races(change: Callable[[], Result]) -> Result:
    """Make a change of a table that may lose races; PyIceberg itself retries only snapshots."""
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
        raise ConcurrentChangeError(
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
        if any(words in str(told) for words in _READ_ONLY):
            raise MachineError(
                f"the catalog of {name} cannot be written: {told}",
                hint="give this user write access to the database (for SQLite, to its file and "
                "folder), or name another one in [catalog]",
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
