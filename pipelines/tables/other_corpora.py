"""Other corpora that a stage reads, each at one snapshot: reference corpora, benchmark corpora.

A document of a reference corpus has an id below 0 in `edges` and as `kept_id` of the ledger: its
own ``doc_id`` plus the ``shift`` of its corpus, so that ids of different corpora do not overlap.
The shifts are properties of the snapshots of both tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from strata.errors import ConflictError, InputMissingError, SettingsError
from strata.pipelines.execution.data_files import DataFile, data_files
from strata.pipelines.kernels.banding import SKETCH_VERSION
from strata.settings import DedupSettings
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.properties import AGAINST, FINGERPRINT_FORMAT
from strata.storage.layout.records import TableSnapshot
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import TableReader, TableState

__all__ = [
    "BenchmarkCorpus",
    "Origin",
    "ReferenceCorpus",
    "ReferenceDocument",
    "benchmark_corpora",
    "fingerprint_format",
    "origins_json",
    "origins_of",
    "reference_corpora",
    "reference_document",
]

LOWEST = -(1 << 63)
MAX_ORDINALS = 1 << (63 - POSITION_BITS)


@dataclass(frozen=True, slots=True)
class Origin:
    """The reference corpus that a range of ids below 0 belongs to."""

    corpus: str
    snapshot: int
    shift: int


@dataclass(frozen=True, slots=True)
class ReferenceDocument:
    """A document of a reference corpus: corpus, snapshot of `fingerprints`, and its id there."""

    corpus: str
    snapshot: int
    doc_id: int


@dataclass(frozen=True, slots=True)
class ReferenceCorpus:
    """A reference corpus at one snapshot.

    Attributes:
        origin: which corpus, which snapshot of its `fingerprints`, and the shift of its ids.
        key: content key of its documents.
        files: the files of its `fingerprints`.
        rows: how many documents they have.
        documents: its table `documents` with their texts, unless that snapshot has expired.
    """

    origin: Origin
    key: str
    files: tuple[DataFile, ...]
    rows: int
    documents: TableState


def fingerprint_format(ngram: int) -> str:
    """The format of fingerprints: only those of the same format can be compared."""
    return f"{SKETCH_VERSION}-{ngram}"


def reference_corpora(corpus: Corpus, settings: DedupSettings) -> tuple[ReferenceCorpus, ...]:
    """The corpora that ``dedup.against`` names, in its order.

    Args:
        corpus: the corpus that is compared with them.
        settings: ``[dedup]``, which names them.

    Raises:
        SettingsError: a corpus or snapshot does not exist, or is the corpus itself.
        InputMissingError: a corpus has no fingerprints.
        ConflictError: fingerprints cannot be compared with ours.
    """
    found: list[ReferenceCorpus] = []
    ordinals = 0
    for entry in settings.against:
        name, _, snapshot = entry.partition("@")
        if name == corpus.name and not snapshot:
            raise SettingsError(
                f"dedup.against names the corpus {name} itself",
                hint=f"name another corpus, or an earlier state as {name}@SNAPSHOT",
            )
        other = _OtherCorpus.load(corpus.sibling(name))
        shift = LOWEST + (ordinals << POSITION_BITS)
        chosen = _chosen(other, snapshot, settings.ngram)
        files = other.fingerprints.files(chosen.snapshot_id)
        found.append(
            ReferenceCorpus(
                Origin(name, chosen.snapshot_id, shift),
                chosen.content_key or "",
                data_files(files, shift),
                sum(file.rows for file in files),
                other.documents,
            )
        )
        ordinals += max((file.max_doc_id >> POSITION_BITS for file in files), default=-1) + 1
    if ordinals > MAX_ORDINALS:
        raise SettingsError(
            f"the corpora in dedup.against have {ordinals:,} input files, and ids only allow "
            f"{MAX_ORDINALS:,}",
            hint="compare with one corpus after the other",
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _OtherCorpus:
    """The tables of another corpus that a comparison needs, each loaded once."""

    name: str
    fingerprints: TableState
    documents: TableState

    @classmethod
    def load(cls, corpus: Corpus) -> _OtherCorpus:
        fingerprints, documents = (
            corpus.table(name).state() for name in ("fingerprints", "documents")
        )
        return cls(corpus.name, fingerprints, documents)

    def snapshot(self, name: str) -> TableSnapshot | None:
        """The snapshot of `fingerprints` that a tag, or a snapshot id of either table, names."""
        snapshots = self.fingerprints.snapshots()
        if not name:
            return snapshots[-1] if snapshots else None
        wanted = int(name) if name.isdecimal() else self.fingerprints.snapshot_id(name)
        listed = [*snapshots, *self.documents.snapshots()]
        meant = next((each for each in listed if each.snapshot_id == wanted), None)
        if meant is None:
            known = ", ".join(str(each.snapshot_id) for each in listed) or "none"
            raise SettingsError(
                f"{self.name} has no snapshot {wanted} of documents or fingerprints",
                hint=f"its snapshots are: {known}",
            )
        same = [each for each in snapshots if each.content_key == meant.content_key]
        if not same:
            raise SettingsError(
                f"the fingerprints of snapshot {wanted} of {self.name} have expired",
                hint="name a snapshot that `strata storage snapshots` still lists for fingerprints",
            )
        return same[-1]


def _chosen(other: _OtherCorpus, snapshot: str, ngram: int) -> TableSnapshot:
    """The snapshot of `fingerprints` to compare with, whose format is that of ours."""
    chosen = other.snapshot(snapshot)
    if chosen is None or chosen.content_key is None:
        raise InputMissingError(
            f"the corpus {other.name} has no fingerprints to compare with",
            hint=f"run `strata shard` with the settings of {other.name} first",
        )
    ours, theirs = fingerprint_format(ngram), chosen.properties.get(FINGERPRINT_FORMAT)
    if theirs != ours:
        raise ConflictError(
            f"the fingerprints of {other.name} (format {theirs}) cannot be compared with ours "
            f"(format {ours}, which is version-ngram)",
            hint=f"shard {other.name} again with dedup.ngram = {ngram}",
        )
    return chosen


def origins_json(corpora: Iterable[ReferenceCorpus]) -> str:
    """The shifts, as the property AGAINST of a snapshot."""
    return msgspec.json.encode([corpus.origin for corpus in corpora]).decode()


def origins_of(table: TableReader) -> tuple[Origin, ...]:
    """The shifts that apply to the present rows of `edges` or `clusters`."""
    text = table.latest_property(AGAINST)
    return msgspec.json.decode(text, type=tuple[Origin, ...]) if text else ()


def reference_document(number: int, origins: Sequence[Origin]) -> ReferenceDocument:
    """The document of a reference corpus that an id below 0 stands for.

    Raises:
        ConflictError: the id belongs to none of the corpora; the table was not written by Strata.
    """
    fitting = [origin for origin in origins if origin.shift <= number < 0]
    if not fitting:
        raise ConflictError(
            f"document {number} is of another corpus that the table does not name",
            hint="run `strata dedup` again",
        )
    origin = max(fitting, key=lambda each: each.shift)
    return ReferenceDocument(origin.corpus, origin.snapshot, number - origin.shift)


@dataclass(frozen=True, slots=True)
class BenchmarkCorpus:
    """A benchmark corpus at one snapshot of its `documents`.

    Attributes:
        name: the corpus.
        key: content key of the snapshot; compaction does not change it.
        urls: the files of the snapshot.
        documents: its table `documents`.
    """

    name: str
    key: str
    urls: tuple[str, ...]
    documents: TableState


def benchmark_corpora(corpus: Corpus, settings: DedupSettings) -> tuple[BenchmarkCorpus, ...]:
    """The corpora that ``dedup.decontaminate`` names, in its order.

    Args:
        corpus: the corpus that is searched for their items.
        settings: ``[dedup]``, which names them.

    Raises:
        SettingsError: a corpus or snapshot does not exist, is named twice, or is the corpus itself.
        InputMissingError: a corpus has no documents.
    """
    found: dict[str, BenchmarkCorpus] = {}
    for entry in settings.decontaminate:
        name, _, snapshot = entry.partition("@")
        if name == corpus.name or name in found:
            raise SettingsError(
                f"dedup.decontaminate names the corpus {name}"
                + (" twice" if name in found else ", which is the one to decontaminate"),
                hint="name each corpus of benchmark items once",
            )
        found[name] = _at(name, corpus.sibling(name).table("documents").state(), snapshot)
    return tuple(found.values())


def _at(corpus: str, documents: TableState, name: str) -> BenchmarkCorpus:
    wanted = documents.snapshot_id(name) if name else None
    snapshots = documents.snapshots()
    files = documents.files(wanted)
    chosen = [each for each in snapshots if each.snapshot_id == wanted] or snapshots[-1:]
    if not files:
        raise InputMissingError(
            f"the corpus {corpus} holds no documents that could be benchmark items",
            hint=f"run `strata shard` with the settings of {corpus} first",
        )
    urls = tuple(file.url for file in files)
    return BenchmarkCorpus(corpus, _key(documents, chosen[0]), urls, documents)


def _key(table: TableReader, snapshot: TableSnapshot) -> str:
    # Another engine may have written the snapshot: then only its id identifies its content.
    return snapshot.content_key or f"{table.name}@{snapshot.snapshot_id}"
