"""The receipt of a retraction, read back from the tables: the same however often it was resumed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from strata.pipelines.execution.details import (
    Receipt,
    RetainedSnapshots,
    SelectorResult,
    TableChange,
)
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.retraction.plan import edited_tables, stale_tables
from strata.pipelines.tables.retractions import Retraction, Selector, SelectorKind, retraction_rows
from strata.storage.layout.properties import (
    FIRST_PROMOTED,
    PROMOTED,
    RETRACTION,
    ROWS_ADDED,
    ROWS_REMOVED,
    TOKENIZER,
)
from strata.storage.layout.records import TableSnapshot
from strata.storage.tables.catalog import Corpus

__all__ = ["receipt_of", "retained_snapshots"]


def receipt_of(context: StageContext, retraction: Retraction) -> Receipt:
    """The receipt of a finished retraction."""
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
    # Rewrites pass the property on; the first snapshot that has it is that of the retraction.
    after = next((each for each in snapshots if each.properties.get(RETRACTION) == key), None)
    if after is None:
        return None
    before = next((each for each in snapshots if each.snapshot_id == after.parent_id), None)
    return _SnapshotPair(before, after)


def _change(table: str, pair: _SnapshotPair) -> TableChange:
    told, totals = pair.after.properties, pair.after.totals
    return TableChange(
        table=table,
        rows_removed=int(told.get(ROWS_REMOVED, 0)),
        rows_added=int(told.get(ROWS_ADDED, 0)),
        files_replaced=totals.files_removed,
        files_written=totals.files_added,
        bytes_replaced=totals.bytes_removed,
        bytes_written=totals.bytes_added,
        snapshot_before=str(pair.before.snapshot_id) if pair.before else None,
        snapshot_after=str(pair.after.snapshot_id),
    )


def retained_snapshots(corpus: Corpus, key: str) -> RetainedSnapshots:
    """Snapshots from before a retraction, of the tables that lost rows to it."""
    numbers: dict[str, int] = {}
    tagged: dict[str, list[str]] = {}
    since = 0
    for name in [each for each in edited_tables() if each in corpus.existing_tables()]:
        table = corpus.table(name)
        pair = _snapshots_of(corpus, name, key)
        if pair is None or not int(pair.after.properties.get(ROWS_REMOVED, 0)):
            continue
        limit = pair.after.result_ms
        # A tag from before the retraction may be rewritten later; only rewrites of the tables that
        # the retraction left carry its key.
        older = {
            each.snapshot_id
            for each in table.snapshots()
            if each.result_ms <= limit and each.properties.get(RETRACTION) != key
        }
        if older:
            numbers[name], since = len(older), max(since, limit)
        if names := sorted(ref for ref, snapshot in table.refs().items() if snapshot in older):
            tagged[name] = names
    return RetainedSnapshots(numbers, tagged, since)
