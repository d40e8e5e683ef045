"""Comparing the files of a corpus with what the catalog says of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow.parquet as pq

from strata.errors import InputError, InputMissingError
from strata.storage.catalog import Corpus
from strata.storage.contract import Store
from strata.storage.records import TableFile
from strata.storage.scan import open_parquet, read_batches
from strata.storage.schemas import SCHEMAS

__all__ = ["FileCheck", "Finding", "Verification", "VerifyLevel", "verify", "verify_file"]

_BATCH_BYTES = 16_000_000


class VerifyLevel(StrEnum):
    """How closely files are looked at; each level includes those before."""

    SIZES = "sizes"
    """The file is there, with the size that the catalog has."""
    FOOTERS = "footers"
    """Its footer can be read and counts the rows that the catalog has."""
    FULL = "full"
    """Every page is read and decoded, and its checksum holds."""


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    DAMAGED = "damaged"
    ROW_MISMATCH = "row_mismatch"


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The outcome of one file.

    Attributes:
        table: name of the table.
        file: what the catalog says.
        finding: what is wrong, or None.
        detail: a sentence about it.
    """

    table: str
    file: TableFile
    finding: Finding | None = None
    detail: str = ""


@dataclass(slots=True)
class Verification:
    """The outcome of a whole corpus; sizes and rows are those of the catalog."""

    level: VerifyLevel
    files: int = 0
    rows: int = 0
    n_bytes: int = 0
    findings: list[FileCheck] = field(default_factory=list)

    def add(self, check: FileCheck) -> None:
        """Count one file."""
        self.files += 1
        self.rows += check.file.rows
        self.n_bytes += check.file.n_bytes
        if check.finding is not None:
            self.findings.append(check)


def verify(
    corpus: Corpus,
    store: Store,
    level: VerifyLevel = VerifyLevel.FULL,
    on_check: Callable[[FileCheck], None] | None = None,
) -> Verification:
    """Check every data file of the present snapshot of every table, several at a time.

    Args:
        corpus: the corpus.
        store: where its files are.
        level: how closely.
        on_check: called after each file, in the order of tables and files.

    Raises:
        MachineError: a file may not be read.
        TransientError: a store did not answer.
    """
    result = Verification(level)
    named = [
        (name, file) for name in corpus.existing_tables() for file in corpus.table(name).files()
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for check in pool.map(lambda each: verify_file(store, each[0], each[1], level), named):
            result.add(check)
            if on_check is not None:
                on_check(check)
    return result


def verify_file(store: Store, table: str, file: TableFile, level: VerifyLevel) -> FileCheck:
    """Check one data file of a table."""
    try:
        problem = next(_problems(store, table, file, level), None)
    except InputMissingError:
        return FileCheck(table, file, Finding.MISSING, "the file is not there")
    except InputError as error:
        return FileCheck(table, file, Finding.DAMAGED, error.reason)
    return FileCheck(table, file, *problem) if problem else FileCheck(table, file)


def _problems(
    store: Store, table: str, file: TableFile, level: VerifyLevel
) -> Iterator[tuple[Finding, str]]:
    size = store.info(file.location).size
    if size != file.n_bytes:
        yield Finding.WRONG_SIZE, f"{size:,} bytes; the catalog says {file.n_bytes:,}"
    if level is VerifyLevel.SIZES:
        return
    with open_parquet(store, file.location) as scan:
        metadata: pq.FileMetaData = scan.metadata
    if metadata.num_rows != file.rows:
        yield Finding.ROW_MISMATCH, f"{metadata.num_rows:,} rows; the catalog says {file.rows:,}"
    if level is VerifyLevel.FULL:
        columns = SCHEMAS[table].names
        batches = read_batches(store, file.location, columns, None, _BATCH_BYTES)
        rows = sum(batch.num_rows for batch in batches)
        if rows != file.rows:
            yield Finding.ROW_MISMATCH, f"{rows:,} rows decoded; the catalog says {file.rows:,}"
