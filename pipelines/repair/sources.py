"""Sources from which rows of a table can be recovered; read in a worker, batch by batch.

They are other tables, the input files, and other files with rows of the same table: those of other
snapshots, of a rewrite, or orphans that were not collected yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from strata.errors import InputError
from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.ingest.task import document_rows, fingerprint_rows
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import ReadLimits, Split
from strata.pipelines.repair.affected import MissingRows
from strata.pipelines.tables.state import CorpusState
from strata.pipelines.tables.survivors import SurvivorCounts, cut_survivors
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.pipelines.tokenization.task import token_rows
from strata.storage.checksums.rows import RowsChecksum, checksum_of
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import CONTENT_KEY
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import open_parquet, read_batches
from strata.storage.writing.tiers import Tier

__all__ = [
    "RowSource",
    "RowsFromClean",
    "RowsFromCopies",
    "RowsFromEncoding",
    "RowsFromInputs",
    "RowsFromSketching",
    "RowsFromSurvivors",
    "checksum_in_footer",
    "equal_copies",
    "files_of_same_result",
    "rebuilt_files",
]

BATCH_BYTES = 4_000_000


class RowSource(Protocol):
    """Yields rows of one table in any order: perhaps more than are wanted, perhaps not all."""

    @property
    def name(self) -> str:
        """What a report calls it."""

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """Read the source; ``wanted`` is a hint that may save work.

        Raises:
            InputError: it is damaged or gone.
            BrokenFile: an input file is damaged.
        """


@dataclass(frozen=True, slots=True)
class RowsFromCopies:
    """Rows of other files of the table: those of other snapshots, or left over by a rewrite."""

    table: str
    urls: tuple[str, ...]
    name: str = "another copy"

    def batches(self, store: Store, _: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """All rows of the files."""
        for url in self.urls:
            names = SCHEMAS[self.table].names
            yield from read_batches(store, Url.parse(url), names, None, BATCH_BYTES)


@dataclass(frozen=True, slots=True)
class RowsFromClean:
    """Rows of `documents` from `clean`, where the fingerprints show that nothing was cut."""

    urls: tuple[str, ...]
    fingerprints: tuple[str, ...]
    name: str = "clean"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """Rows whose content hash is that of the fingerprint."""
        known = self._hashes(store, wanted)
        for batch in RowsFromCopies("documents", self.urls).batches(store, wanted):
            pairs = zip(
                batch.column("doc_id").to_pylist(),
                batch.column("content_hash").to_pylist(),
                strict=True,
            )
            yield batch.filter(pa.array([known.get(number) == value for number, value in pairs]))

    def _hashes(self, store: Store, wanted: MissingRows | None) -> dict[int, bytes]:
        known: dict[int, bytes] = {}
        for url in self.fingerprints:
            columns = ["doc_id", "content_hash"]
            for batch in read_batches(store, Url.parse(url), columns, None, BATCH_BYTES):
                sought = _wanted_rows(batch, wanted)
                known.update(zip(*(c.to_pylist() for c in sought.columns), strict=True))
        return known


@dataclass(frozen=True, slots=True)
class RowsFromInputs:
    """Rows of `documents` from the input files, which must not have changed since."""

    splits: tuple[Split, ...]
    limits: ReadLimits
    name: str = "the input files"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The documents of the files."""
        for split in self.splits:
            for read in read_split(store, split, self.limits):
                sought = _wanted_rows(read.documents, wanted)
                if sought.num_rows:
                    yield document_rows(sought)


@dataclass(frozen=True, slots=True)
class RowsFromSketching:
    """Rows of `fingerprints` from `documents`."""

    urls: tuple[str, ...]
    ngram: int
    name: str = "documents"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The fingerprints of the documents that are wanted."""
        for batch in RowsFromCopies("documents", self.urls).batches(store, wanted):
            sought = _wanted_rows(batch, wanted)
            if sought.num_rows:
                yield fingerprint_rows(sought, self.ngram)


@dataclass(frozen=True, slots=True)
class RowsFromSurvivors:
    """Rows of `clean` from `documents`, the ledger and the cuts."""

    parts: tuple[RowGroups, ...]
    ledger: tuple[DataFile, ...]
    cuts: tuple[DataFile, ...]
    name: str = "documents and clusters"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The survivors."""
        only = None if wanted is None else wanted.known_ids
        yield from cut_survivors(self.parts, self.ledger, self.cuts, store, SurvivorCounts(), only)


@dataclass(frozen=True, slots=True)
class RowsFromEncoding:
    """Rows of `tokens` from texts, with the tokenizer that wrote the table."""

    texts: RowsFromCopies | RowsFromSurvivors
    spec: TokenizerSpec

    @property
    def name(self) -> str:
        """What a report calls it."""
        return "clean" if isinstance(self.texts, RowsFromCopies) else self.texts.name

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The tokens of the texts that are wanted."""
        from strata.pipelines.tokenization.engine import Engine, check_equal

        engine = Engine.open(self.spec)
        for batch in self.texts.batches(store, wanted):
            sought = _wanted_rows(batch, wanted)
            if sought.num_rows:
                check_equal(engine, engine.spec, sought.column("text").slice(0, 1))
                yield token_rows(engine, sought)


def _wanted_rows(batch: pa.RecordBatch, wanted: MissingRows | None) -> pa.RecordBatch:
    if wanted is None:
        return batch
    return batch.filter(pa.array(wanted.contains(np.asarray(batch.column("doc_id")))))


def files_of_same_result(
    state: CorpusState, table: str, damaged_urls: Collection[str]
) -> list[TableFile]:
    """Other files of the same result: those that were rewritten, or replaced the rewritten ones."""
    owner = state.corpus.table(table)
    same = owner.snapshots_of_result(state.ref)
    found = {file.url: file for each in same for file in owner.files(each)}
    if not found:
        return []
    live = {file.url for file in state.files(table)}
    return [file for url, file in found.items() if url not in live and url not in damaged_urls]


def rebuilt_files(state: CorpusState, table: str, damaged_urls: Collection[str]) -> list[TableFile]:
    """The files of the present table, where it is another copy of the table that a tag names.

    A table that was cleared and rebuilt from the same documents and settings has the same rows,
    in files whose boundaries may differ.
    """
    key = state.property(table, CONTENT_KEY)
    present = CorpusState(state.corpus)
    # Snapshots of other engines have no content key, and a missing key equals no other.
    if state.is_present or key is None or key != present.property(table, CONTENT_KEY):
        return []
    files, lost = present.files(table), state.files(table)
    is_whole = sum(file.rows for file in files) == sum(file.rows for file in lost)
    return [] if not is_whole or any(file.url in damaged_urls for file in files) else files


def equal_copies(
    state: CorpusState,
    tiers: Iterable[Tier],
    table: str,
    sought: Collection[RowsChecksum],
    damaged_urls: Collection[str],
) -> dict[str, str]:
    """Files outside of the table that hold exactly the rows of a checksum, by its text."""
    wanted = {checksum.to_text() for checksum in sought}
    unfit = {file.location for file in state.files(table)} | {
        Url.parse(url) for url in damaged_urls
    }
    corpus = state.corpus
    found: dict[str, str] = {}
    for root in sorted({corpus.warehouse, *(tier.url for tier in tiers)}):
        for file in corpus.store.find(root / corpus.name / table / "data"):
            if file.url in unfit or file.url.suffix != ".parquet" or len(found) == len(wanted):
                continue
            checksum = checksum_in_footer(corpus.store, file.url)
            if checksum is not None and checksum.to_text() in wanted:
                found[checksum.to_text()] = str(file.url)
    return found


def checksum_in_footer(store: Store, url: Url) -> RowsChecksum | None:
    """The checksum in the footer of a file; None where it cannot be read or has none."""
    try:
        with open_parquet(store, url) as scan:
            return checksum_of(scan.metadata)
    except InputError:
        return None
