"""The receipt of a retraction, read from the tables: the same after any number of attempts."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.lineage.guard import RETRACTION
from strata.pipelines.retraction.edit_files import ROWS_ADDED, ROWS_REMOVED
from strata.pipelines.retraction.plan import FIRST_PROMOTED, PROMOTED, edited_tables, stale_tables
from strata.pipelines.tables.retractions import Retraction, Selector, SelectorKind, retraction_rows
from strata.pipelines.tokenization.identity import TOKENIZER
from strata.storage.layout.records import TableSnapshot
from strata.storage.tables.catalog import Corpus

__all__ = [
    "Receipt",
    "RetainedSnapshots",
    "SelectorResult",
    "TableChange",
    "receipt_of",
    "retained_snapshots",
]


@dataclass(frozen=True, slots=True)
class SelectorResult:
    """One thing that was asked for, and the documents or input files that it named."""

    kind: str
    value: str
    documents: int | None
    input_files: int | None = None


@dataclass(frozen=True, slots=True)
class TableChange:
    """What became of a table; bytes are those of the files on disk.

    Snapshots are text: JSON readers that know doubles only would change them.
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
        tagged: names of tags and branches that keep one for ever, by table.
        since_ms: when the last of them was superseded: from then on its age counts.
    """

    snapshots: dict[str, int]
    tagged: dict[str, list[str]]
    since_ms: int


@dataclass(slots=True)
class Receipt:
    """The receipt.

    Attributes:
        retraction: key of the retraction.
        reason: why.
        asked_ms: when it was asked for, in milliseconds since 1970, UTC.
        asked: what was asked for.
        documents: documents that were taken out.
        tables: what became of each table.
        new_survivors: documents that survive only since then; None where the ledger was stale.
        first_new_survivors: the first few of them.
        stale: tables that the next run makes anew.
        tokenizer: fingerprint of the tokenizer that was kept.
        held: older snapshots that still hold the documents.
        files_deleted: files that were deleted at once.
        bytes_deleted: their bytes.
        reports_blanked: stored reports that quoted one of the documents, and do not any more.
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


def receipt_of(context: StageContext, retraction: Retraction) -> Receipt:
    """The receipt of a retraction that is finished."""
    corpus = context.corpus
    existing = set(corpus.existing_tables())
    found = {
        name: _snapshots_of(corpus, name, retraction.key)
        for name in edited_tables()
        if name in existing
    }
    changes = {name: _change(name, pair) for name, pair in found.items() if pair is not None}
    ledger = found.get("clusters")
    told = ledger.after.properties if ledger else {}
    first = told.get(FIRST_PROMOTED, "")
    asked = _selector_results(context, retraction)
    return Receipt(
        retraction=retraction.key,
        reason=retraction.reason,
        asked_ms=retraction.asked_ms,
        asked=asked,
        documents=changes["documents"].rows_removed if "documents" in changes else 0,
        tables=list(changes.values()),
        new_survivors=int(told[PROMOTED]) if PROMOTED in told else None,
        first_new_survivors=[int(each) for each in first.split(",") if each],
        stale=stale_tables(context, retraction.key),
        tokenizer=corpus.table("tokens").latest_property(TOKENIZER),
        held=retained_snapshots(corpus, retraction.key),
    )


def _selector_results(context: StageContext, retraction: Retraction) -> list[SelectorResult]:
    rows = retraction_rows(context.corpus, context.store)
    rows = rows.filter(pc.equal(rows["retraction"], retraction.key))
    documents: dict[Selector, int] = dict.fromkeys(retraction.selectors, 0)
    for row in rows.select(["kind", "value", "doc_id", "ordinal"]).to_pylist():
        named = row["doc_id"] is not None or row["ordinal"] is not None
        documents[Selector(SelectorKind(row["kind"]), row["value"])] += named
    return [
        SelectorResult(str(selector.kind), selector.value, None, number)
        if selector.kind is SelectorKind.SOURCE
        else SelectorResult(str(selector.kind), selector.value, number)
        for selector, number in documents.items()
    ]


@dataclass(frozen=True, slots=True)
class _SnapshotPair:
    before: TableSnapshot | None
    after: TableSnapshot


def _snapshots_of(corpus: Corpus, table: str, key: str) -> _SnapshotPair | None:
    snapshots = corpus.table(table).snapshots()
    # A rewrite carries the property on; the first to have it is the retraction.
    after = next((each for each in snapshots if each.properties.get(RETRACTION) == key), None)
    if after is None:
        return None
    before = next((each for each in snapshots if each.snapshot_id == after.parent_id), None)
    return _SnapshotPair(before, after)


def _change(table: str, pair: _SnapshotPair) -> TableChange:
    told = pair.after.properties
    return TableChange(
        table=table,
        rows_removed=int(told.get(ROWS_REMOVED, 0)),
        rows_added=int(told.get(ROWS_ADDED, 0)),
        files_replaced=int(told.get("deleted-data-files", 0)),
        files_written=int(told.get("added-data-files", 0)),
        bytes_replaced=int(told.get("removed-files-size", 0)),
        bytes_written=int(told.get("added-files-size", 0)),
        snapshot_before=str(pair.before.snapshot_id) if pair.before else None,
        snapshot_after=str(pair.after.snapshot_id),
    )


def retained_snapshots(corpus: Corpus, key: str) -> RetainedSnapshots:
    """Snapshots from before a retraction, of the tables that lost rows by it."""
    numbers: dict[str, int] = {}
    tagged: dict[str, list[str]] = {}
    since = 0
    for name in [each for each in edited_tables() if each in corpus.existing_tables()]:
        table = corpus.table(name)
        pair = _snapshots_of(corpus, name, key)
        if pair is None or not int(pair.after.properties.get(ROWS_REMOVED, 0)):
            continue
        limit = pair.after.result_ms
        # A tag from before it may be rewritten later; rewrites of what it left carry its key.
        older = {
            each.snapshot_id
            for each in table.snapshots()
            if each.result_ms <= limit and each.properties.get(RETRACTION) != key
        }
        if older:
            numbers[name], since = len(older), max(since, limit)
        iceberg = table.existing()
        refs = iceberg.refs() if iceberg else {}
        if names := sorted(ref for ref, at in refs.items() if at.snapshot_id in older):
            tagged[name] = names
    return RetainedSnapshots(numbers, tagged, since)
