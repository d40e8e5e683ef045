"""The file of a catalog in SQLite: whether it can be reached, and whether it can be written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from strata.errors import MachineError

__all__ = ["check_reachable", "check_writable", "sqlite_file"]

_REMEDY = "give this user write access to the file and its folder, or name another one in [catalog]"


def sqlite_file(uri: str) -> Path | None:
    """The file that the uri of a catalog names; None for servers and for databases in memory."""
    scheme, mark, rest = uri.partition(":///")
    path = rest.partition("?")[0]
    if not mark or scheme.partition("+")[0] != "sqlite" or path in ("", ":memory:"):
        return None
    return None if path.startswith("file:") else Path(path)


def check_reachable(file: Path) -> None:
    """Make sure that a database can be opened, or made.

    Raises:
        MachineError: its folder is missing, or this user may not look into it.
    """
    try:
        os.scandir(file.parent).close()
        if file.exists():
            file.open("rb").close()
    except OSError as error:
        raise MachineError(
            f"the catalog {file} cannot be opened: {error.strerror}: {error.filename}",
            hint="make the folder, give this user access to it, or name another catalog in "
            "[catalog]",
        ) from error


def check_writable(file: Path) -> None:
    """Make sure that a database can be written, by a change that is taken back.

    Raises:
        MachineError: it cannot.
    """
    check_reachable(file)
    if not file.exists():
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise MachineError(f"the catalog {file} cannot be made", hint=_REMEDY)
        return
    try:
        # It does not wait: where another process holds the file, that is the answer.
        name = f"file:{quote(str(file))}?mode=rw"
        with closing(sqlite3.connect(name, timeout=0, uri=True)) as database:
            # The journal lies beside the file, so this needs the folder too.
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE strata_is_writable (yes INTEGER)")
            database.rollback()
    except sqlite3.OperationalError as error:
        # Another process is writing, so it can be written.
        if "locked" not in str(error):
            raise MachineError(
                f"the catalog {file} cannot be written: {error}", hint=_REMEDY
            ) from error
    except sqlite3.DatabaseError as error:
        raise MachineError(
            f"the catalog {file} is damaged or no database: {error}",
            hint="restore it from a backup, or name another one in [catalog]",
        ) from error
