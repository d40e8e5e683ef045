"""Comparing the files of a corpus with what the catalog and their own footers record of them.

The catalog has the size, rows, row groups and range of document ids of a file; its footer has the
checksum of its rows and the digest of all its bytes. Files of other writers have neither checksum
nor digest: all of their pages are decoded, and page checksums are compared where there are any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum

import pyarrow.parquet as pq

from strata.errors import InputError, InputMissingError
from strata.storage.checksums.file_digest import stores_digest
from strata.storage.checksums.rows import RowsChecksum, checksum_of
from strata.storage.contracts.store import Store
from strata.storage.integrity.verify_level import VerifyLevel
from strata.storage.integrity.whole_file import check_bytes, checksum_rows
from strata.storage.layout.records import LAST_ID, PRESENT, TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import group_bounds, open_parquet
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import HeldFile, corpus_files

__all__ = [
    "FileCheck",
    "Finding",
    "Verification",
    "VerifyLevel",
    "verify",
    "verify_file",
    "verify_files",
]


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    DAMAGED = "damaged"
    ROW_MISMATCH = "row_mismatch"
    OTHER_FILE = "other_file"
    """It is a sound file, but not the one that the catalog describes."""
    FOREIGN = "foreign"
    """It is in a table's folder, but no snapshot has it and no writer of Strata named it."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The result of checking one file.

    Attributes:
        table: name of the table.
        file: what the catalog records.
        finding: what is wrong, or None.
        detail: a sentence about it.
        is_checksummed: whether the footer holds digest and checksum.
        refs: the tags and branches that refer to it, unless it is foreign; :data:`PRESENT` is the
            present table.
    """

    table: str
    file: TableFile
    finding: Finding | None = None
    detail: str = ""
    is_checksummed: bool = True
    refs: frozenset[str] = frozenset({PRESENT})

    @property
    def is_kept(self) -> bool:
        """Whether only tags and branches refer to it, and the present table does not."""
        return bool(self.refs) and PRESENT not in self.refs

    @property
    def state_ref(self) -> str:
        """A state of the tables that has the file: the present one if possible."""
        return min(self.refs) if self.is_kept else PRESENT


@dataclass(slots=True)
class Verification:
    """The result of checking a whole corpus; sizes and rows are those of the catalog.

    Attributes:
        level: how closely the files were checked.
        files: number of files.
        kept: number of files that no present table has, but the state that a tag names.
        rows: number of rows in the files.
        n_bytes: size of the files.
        without_checksum: number of files of other writers, sound as far as can be determined.
        findings: the files with something wrong.
    """

    level: VerifyLevel
    files: int = 0
    kept: int = 0
    rows: int = 0
    n_bytes: int = 0
    without_checksum: int = 0
    findings: list[FileCheck] = field(default_factory=list)

    def add(self, check: FileCheck) -> None:
        """Count one file."""
        self.files += 1
        self.kept += check.is_kept
        self.rows += check.file.rows
        self.n_bytes += check.file.n_bytes
        if check.finding is not None:
            self.findings.append(check)
        elif not check.is_checksummed:
            self.without_checksum += 1


def verify(
    corpus: Corpus,
    store: Store,
    level: VerifyLevel = VerifyLevel.FULL,
    on_check: Callable[[FileCheck], None] | None = None,
    tables: Collection[str] | None = None,
) -> Verification:
    """Check every data file that the tables, their tags or branches refer to, several at a time.

    Args:
        corpus: the corpus.
        store: where its files are.
        level: how closely to check.
        on_check: called after each file, in the order of tables and files.
        tables: their names; all by default.

    Raises:
        MachineError: a file may not be read.
        TransientError: a store did not answer.
    """
    return verify_files(store, corpus_files(corpus, tables), level, on_check)


def verify_files(
    store: Store,
    files: Iterable[HeldFile],
    level: VerifyLevel,
    on_check: Callable[[FileCheck], None] | None = None,
) -> Verification:
    """Check the given data files, several at a time."""
    result = Verification(level)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for check in pool.map(lambda each: verify_file(store, each, level), files):
            result.add(check)
            if on_check is not None:
                on_check(check)
    return result


def verify_file(store: Store, held: HeldFile, level: VerifyLevel) -> FileCheck:
    """Check one data file of a table."""
    table, file = held.table, held.file
    try:
        check = next(_problems(store, table, file, level))
    except InputMissingError:
        check = FileCheck(table, file, Finding.MISSING, "the file is not there")
    except InputError as error:
        detail = error.reason.removeprefix(f"{file.url} is ").removeprefix("damaged: ")
        check = FileCheck(table, file, Finding.DAMAGED, detail)
    return replace(check, refs=held.refs)


def _problems(store: Store, table: str, file: TableFile, level: VerifyLevel) -> Iterator[FileCheck]:
    """What is wrong, the worst first; at the end, a check without a finding."""
    size = store.info(file.location).size
    if size != file.n_bytes:
        detail = f"{size:,} bytes; the catalog says {file.n_bytes:,}"
        yield FileCheck(table, file, Finding.WRONG_SIZE, detail)
    if level is VerifyLevel.SIZES:
        yield FileCheck(table, file)
        return
    with open_parquet(store, file.location) as scan:
        if level is VerifyLevel.FULL:
            check_bytes(scan)
        metadata: pq.FileMetaData = scan.metadata
        stored = checksum_of(metadata)
        yield from _footer_problems(table, file, metadata)
        if stores_digest(metadata) != (stored is not None):
            detail = "its footer holds only one of checksum and digest"
            yield FileCheck(table, file, Finding.DAMAGED, detail)
        if level is VerifyLevel.FULL:
            yield from _row_problems(table, file, stored, checksum_rows(scan, SCHEMAS[table]))
    yield FileCheck(table, file, is_checksummed=stored is not None)


def _footer_problems(table: str, file: TableFile, metadata: pq.FileMetaData) -> Iterator[FileCheck]:
    if metadata.num_rows != file.rows:
        detail = f"{metadata.num_rows:,} rows; the catalog says {file.rows:,}"
        yield FileCheck(table, file, Finding.ROW_MISMATCH, detail)
    if file.row_groups and metadata.num_row_groups != file.row_groups:
        detail = f"{metadata.num_row_groups:,} row groups; the catalog says {file.row_groups:,}"
        yield FileCheck(table, file, Finding.OTHER_FILE, detail)
    number = SCHEMAS[table].names[0]
    if file.max_doc_id == LAST_ID or not metadata.num_rows:
        return
    bounds = group_bounds(metadata, number)
    low, high = int(bounds[:, 0].min()), int(bounds[:, 1].max())
    if (low, high) != (file.min_doc_id, file.max_doc_id):
        detail = (
            f"{number} from {low} to {high}; the catalog says from {file.min_doc_id} to "
            f"{file.max_doc_id}"
        )
        yield FileCheck(table, file, Finding.OTHER_FILE, detail)


def _row_problems(
    table: str, file: TableFile, stored: RowsChecksum | None, decoded: RowsChecksum
) -> Iterator[FileCheck]:
    if decoded.rows != file.rows:
        detail = f"{decoded.rows:,} rows decoded; the catalog says {file.rows:,}"
        yield FileCheck(table, file, Finding.ROW_MISMATCH, detail)
    if stored is not None and stored != decoded:
        where = ", ".join(decoded.differs_in(stored)) or "the order of values among rows"
        detail = f"its rows are not those that were written; they differ in {where}"
        yield FileCheck(table, file, Finding.DAMAGED, detail)
