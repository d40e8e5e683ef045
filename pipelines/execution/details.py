"""What each stage reports besides rows and costs: the contract of the ``details`` of a report.

Reports are stored, and read by other versions of Strata and by the HTML page: a name, once written,
keeps its meaning. A new detail is one more field, with None where it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

__all__ = [
    "DETAILS",
    "Audit",
    "AuditedShare",
    "CompressDetails",
    "CompressedTable",
    "DecontaminateDetails",
    "DedupDetails",
    "DuplicateFacts",
    "LargeCluster",
    "MoveDetails",
    "MovedFiles",
    "PassageCounts",
    "PurgeResult",
    "Receipt",
    "RetainedSnapshots",
    "RetractDetails",
    "RewriteDetails",
    "RewriteStep",
    "RewrittenTable",
    "SelectorResult",
    "SettledMoves",
    "ShardDetails",
    "SizeClass",
    "SourceMatrix",
    "StageDetails",
    "StoredDetails",
    "TableChange",
    "TokenizeDetails",
    "read_details",
]


class StageDetails(msgspec.Struct, omit_defaults=True):
    """Details of a stage; those that are None are left out of the report."""


class ShardDetails(StageDetails):
    """Details of shard.

    Attributes:
        files_skipped: files that the listing of the inputs skipped, by reason.
        input_files: files that were read.
        input_bytes: their size.
        broken_files: those of them that could not be read to their end.
        dates_unread: dates that could not be read.
        nul_removed: documents whose text lost NUL characters.
        mode: whether the documents were appended, or replaced all others.
        reject_ratio: share of the input that was unreadable.
    """

    files_skipped: dict[str, int] | None = None
    input_files: int | None = None
    input_bytes: int | None = None
    broken_files: int | None = None
    dates_unread: int | None = None
    nul_removed: int | None = None
    mode: str | None = None
    reject_ratio: float | None = None


class DecontaminateDetails(StageDetails):
    """Details of decontaminate.

    Attributes:
        items: benchmark items that were looked for.
        items_too_short: items that were ignored because they have too few words.
        ngrams: distinct n-grams of the items.
        searched_documents: documents that this run searched.
        documents_by_corpus: documents that contain an item, by the corpus of the item.
        items_found: items that some document contains, by corpus.
        top_items: the items that most documents contain, as ``corpus: id``, with their number.
        top_documents: the documents with most items, by id.
    """

    items: int | None = None
    items_too_short: int | None = None
    ngrams: int | None = None
    searched_documents: int | None = None
    documents_by_corpus: dict[str, int] | None = None
    items_found: dict[str, int] | None = None
    top_items: dict[str, int] | None = None
    top_documents: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Clusters of ``least`` to ``most`` documents, and the documents removed from them."""

    least: int
    most: int
    clusters: int
    removed: int


@dataclass(frozen=True, slots=True)
class LargeCluster:
    """A cluster: its size, its survivor, and a line of the survivor's text."""

    size: int
    doc_id: int
    id: str
    source: str
    sample: str


@dataclass(frozen=True, slots=True)
class SourceMatrix:
    """Who duplicates whom.

    Attributes:
        names: sources, those with the most removed documents and survivors first.
        removed: ``removed[i][j]`` documents of source i were removed for one of source j.
    """

    names: tuple[str, ...]
    removed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class DuplicateFacts:
    """What a ledger looks like: clusters by size, the ten largest ones, who duplicates whom."""

    sizes: tuple[SizeClass, ...]
    largest: tuple[LargeCluster, ...]
    sources: SourceMatrix


@dataclass(frozen=True, slots=True)
class AuditedShare:
    """A share that was estimated from a sample, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class Audit(msgspec.Struct, omit_defaults=True):
    """The audit of a ledger; what is None is left out.

    Attributes:
        not_made: why there is no audit; then everything else is None.
        confidence: confidence level of the intervals.
        threshold: similarity of duplicates.
        near: similarity of near duplicates.
        removed_documents: removed documents in the sample.
        kept_documents: kept documents in the sample.
        compared_pairs: pairs that were compared by their texts.
        precision: removed documents that have another one at the threshold.
        precision_near: removed documents that have another one that is near.
        recall: pairs at the threshold of which at most one document is left.
        kept_with_duplicate: kept documents that have another kept one at the threshold.
    """

    not_made: str | None = None
    confidence: float | None = None
    threshold: float | None = None
    near: float | None = None
    removed_documents: int | None = None
    kept_documents: int | None = None
    compared_pairs: int | None = None
    precision: AuditedShare | None = None
    precision_near: AuditedShare | None = None
    recall: AuditedShare | None = None
    kept_with_duplicate: AuditedShare | None = None


@dataclass(frozen=True, slots=True)
class PassageCounts:
    """Passages of one granularity: how many were compared and cut, and the bytes cut."""

    compared: int
    cut: int
    bytes_cut: int


class DedupDetails(StageDetails):
    """Details of dedup.

    Attributes:
        bands: LSH bands.
        rows: rows of each band.
        new_documents: documents that no earlier run compared.
        against: documents of reference corpora, by corpus.
        pairs_read: uncertain pairs that were compared by their texts.
        pairs_refuted: those of them that are not duplicates.
        kept_pairs: where Spark cached the pairs while it worked on them.
        compared_rows: rows of bands, content hashes and ids that were grouped by key.
        repeated_ids: documents that repeat the id of another one.
        clusters: clusters of two or more documents.
        largest_cluster: size of the largest.
        component_rounds: rounds until the connected components were complete.
        edges: verified pairs in total.
        kept_stars: where Spark cached the stars while it joined them.
        duplicates: what the ledger looks like.
        survivors_replaced: survivors of the previous ledger that no longer survive.
        first_replaced: the first few of them.
        audit: what a sample says of the ledger.
        passages: what was cut, by granularity.
    """

    bands: int | None = None
    rows: int | None = None
    new_documents: int | None = None
    against: dict[str, int] | None = None
    pairs_read: int | None = None
    pairs_refuted: int | None = None
    kept_pairs: dict[str, Any] | None = None
    compared_rows: int | None = None
    repeated_ids: int | None = None
    clusters: int | None = None
    largest_cluster: int | None = None
    component_rounds: int | None = None
    edges: int | None = None
    kept_stars: dict[str, Any] | None = None
    duplicates: DuplicateFacts | None = None
    survivors_replaced: int | None = None
    first_replaced: tuple[int, ...] | None = None
    audit: Audit | None = None
    passages: dict[str, PassageCounts] | None = None


class TokenizeDetails(StageDetails):
    """Details of tokenize.

    Attributes:
        bytes_cut: bytes of passages that were cut from the survivors.
        checked_documents: documents that were compared with the reference encoder.
        encode_mb_per_cpu_second: MB of text encoded per CPU second.
        tokenizer: fingerprint of the tokenizer.
        vocab_size: size of its vocabulary.
        engine: the engines that encoded.
        long_pieces: pieces of the training sample that were cut, since they were too long.
        long_piece_bytes_left_out: bytes of them that the tokenizer was not trained on.
    """

    bytes_cut: int | None = None
    checked_documents: int | None = None
    encode_mb_per_cpu_second: float | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    engine: list[str] | None = None
    long_pieces: int | None = None
    long_piece_bytes_left_out: int | None = None


@dataclass(frozen=True, slots=True)
class CompressedTable:
    """Files of a table that were rewritten into a tier, before and after."""

    tier: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int


class CompressDetails(StageDetails):
    """Details of compress: the tables that it rewrote."""

    tables: dict[str, CompressedTable] | None = None


class MovedFiles(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """Files that were moved from one tier to another; seconds are wall-clock time."""

    source: str
    target: str
    files: int
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SettledMoves:
    """What was left of earlier moves.

    Attributes:
        snapshots: superseded snapshots that were expired.
        files: old copies that were deleted.
        n_bytes: their size.
        waiting: old copies that stay for now.
        tags_followed: tables, tags and branches that an interrupted run had not updated.
    """

    snapshots: int
    files: int
    n_bytes: int
    waiting: int
    tags_followed: int


class MoveDetails(StageDetails):
    """Details of move.

    Attributes:
        settled: what was left of earlier moves.
        overtaken: files that another run replaced meanwhile.
        moves: the moved files, by source and target tier.
    """

    settled: SettledMoves | None = None
    overtaken: int | None = None
    moves: tuple[MovedFiles, ...] | None = None


@dataclass(frozen=True, slots=True)
class RewriteStep:
    """Files of a table that one batch rewrote, before and after."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    partitions: int


@dataclass(slots=True)
class RewrittenTable:
    """What became of a table; ``overtaken`` counts groups of files that another writer replaced."""

    overtaken: int = 0
    steps: list[RewriteStep] = field(default_factory=list)


class RewriteDetails(StageDetails, omit_defaults=False):
    """Details of rewrite: the tables that it rewrote, reported even if there were none."""

    tables: dict[str, RewrittenTable] = {}


@dataclass(frozen=True, slots=True)
class SelectorResult:
    """A selector, and the documents or input files that it named."""

    kind: str
    value: str
    documents: int | None
    input_files: int | None = None


@dataclass(frozen=True, slots=True)
class TableChange:
    """What became of a table; bytes are those of the files on disk.

    Snapshot ids are text: JSON readers that have only doubles would change them.
    """

    table: str
    rows_removed: int
    rows_added: int
    files_replaced: int
    files_written: int
    bytes_replaced: int
    bytes_written: int
    snapshot_before: str | None
    snapshot_after: str


@dataclass(frozen=True, slots=True)
class RetainedSnapshots:
    """Older snapshots that still hold what was retracted.

    Attributes:
        snapshots: their number, by table.
        tagged: names of tags and branches that keep one of them for ever, by table.
        since_ms: when the last of them was superseded, from which on its age counts.
    """

    snapshots: dict[str, int]
    tagged: dict[str, list[str]]
    since_ms: int


@dataclass(slots=True)
class Receipt:
    """The receipt of a retraction.

    Attributes:
        retraction: key of the retraction.
        reason: why.
        asked_ms: when it was requested, in milliseconds since 1970, UTC.
        asked: the selectors, and what they named.
        documents: documents that were taken out.
        tables: what became of each table.
        new_survivors: documents that became survivors by it; None where the ledger was stale.
        first_new_survivors: the first few of them.
        stale: tables that the next run rebuilds.
        tokenizer: fingerprint of the tokenizer that was kept.
        held: older snapshots that still hold the documents.
        files_deleted: files that were deleted at once.
        bytes_deleted: their bytes.
        reports_blanked: stored reports from which quotes of the documents were removed.
    """

    retraction: str
    reason: str | None
    asked_ms: int
    asked: list[SelectorResult]
    documents: int
    tables: list[TableChange]
    new_survivors: int | None
    first_new_survivors: list[int]
    stale: list[str]
    tokenizer: str | None
    held: RetainedSnapshots
    files_deleted: int = 0
    bytes_deleted: int = 0
    reports_blanked: int = 0


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What was expired and deleted."""

    snapshots: int
    files: int
    n_bytes: int


class RetractDetails(StageDetails):
    """Details of retract: the receipt or, if all was retracted before, only what was deleted."""

    receipt: Receipt | None = None
    deleted: PurgeResult | None = None


DETAILS: Mapping[str, type[StageDetails]] = {
    "shard": ShardDetails,
    "decontaminate": DecontaminateDetails,
    "dedup": DedupDetails,
    "tokenize": TokenizeDetails,
    "compress": CompressDetails,
    "move": MoveDetails,
    "rewrite": RewriteDetails,
    "retract": RetractDetails,
}
"""The details of each stage, by its name."""


@dataclass(frozen=True, slots=True)
class StoredDetails:
    """Details of a stored report.

    Attributes:
        details: the details that this version knows.
        unknown: all others as they are stored: those with a name or shape, or of a stage, that this
            version does not know.
    """

    details: StageDetails
    unknown: Mapping[str, Any]


def read_details(stage: str, stored: Mapping[str, Any]) -> StoredDetails:
    """Read the details of a stage from a stored report of any version."""
    kind = DETAILS.get(stage, StageDetails)
    types = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in stored.items():
        try:
            known[name] = msgspec.convert(value, types[name])
        except (KeyError, msgspec.ValidationError):
            unknown[name] = value
    return StoredDetails(kind(**known), unknown)
