import sqlite3
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from strata.errors import MachineError, TransientError
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.tables.sqlite_file import check_reachable, check_writable, sqlite_file


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/b.db?timeout=60", "/a/b.db"),
        ("sqlite:///b.db", "b.db"),
        ("sqlite+pysqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql+psycopg://host/db", None),
        ("", None),
    ],
)
def test_file_of_a_uri(uri, path):
    assert sqlite_file(uri) == (Path(path) if path else None)


@pytest.fixture
def database(tmp_path):
    file = tmp_path / "folder" / "catalog.db"
    file.parent.mkdir()
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE t (x INTEGER)")
    made.close()
    return file


def test_file_that_can_be_written_is_left_as_it_is(database):
    before = database.read_bytes()
    check_writable(database)
    assert database.read_bytes() == before
    assert list(database.parent.iterdir()) == [database]


def test_file_that_is_written_by_another_can_be_written(database):
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    check_writable(database)
    other.close()


def test_file_that_is_not_there_yet_can_be_made(tmp_path):
    check_writable(tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_file_in_no_folder_is_named(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=f"{folder}/catalog.db cannot be opened"):
        check_reachable(tmp_path / folder / "catalog.db")


def test_file_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "catalog.db"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(MachineError, match=r"catalog\.db is damaged"):
        check_writable(file)


def test_file_that_may_not_be_written_is_named(database):
    # Even root may not write to an immutable file, on filesystems that have them.
    if subprocess.run(["chattr", "+i", database], check=False, capture_output=True).returncode:
        pytest.skip("this filesystem has no immutable files")
    try:
        with pytest.raises(MachineError, match=r"catalog\.db cannot be written"):
            check_writable(database)
    finally:
        subprocess.run(["chattr", "-i", database], check=True)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("attempt to write a readonly database", MachineError),
        ("unable to open database file", MachineError),
        ("cannot execute INSERT in a read-only transaction", MachineError),
        ("database is locked", TransientError),
    ],
)
def test_catalog_that_may_not_be_written_is_no_transient_error(said, kind):
    with pytest.raises(kind), catalog_errors("web"):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError(said))
