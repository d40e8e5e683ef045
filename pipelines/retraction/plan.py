"""What a retraction changes in each table, and the content keys of the tables afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from strata.keys import stage_key
from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA
from strata.pipelines.execution.data_files import RemovedBy, data_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.lineage.coverage import watermark_properties_without
from strata.pipelines.lineage.keys import (
    NO_ITEMS,
    banding_of,
    wants_cuts,
)
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.retraction.edit_files import TableEdit, plan_edit
from strata.pipelines.retraction.reelection import (
    Reelection,
    fits_driver,
    reelect,
    replaced_pairs,
)
from strata.pipelines.retraction.survivors import tokenizer_of_table
from strata.pipelines.tables.doc_set import DocumentSet, RowFilter
from strata.pipelines.tables.removals import removed_ids
from strata.pipelines.tables.retractions import Retraction
from strata.pipelines.tokenization.identity import named_spec, tokens_key
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.storage.layout.properties import FIRST_PROMOTED, PROMOTED, RETRACTION
from strata.storage.tables.catalog import Corpus
from strata.tables import DECLARED, RetractionRule, table_names

__all__ = [
    "FIRST_PROMOTED",
    "PROMOTED",
    "RetractionPlan",
    "edited_tables",
    "pending_tables",
    "plan_retraction",
    "stale_tables",
]

VERSION = 1
RETRACTIONS = "retractions"
SHOWN = 10


@dataclass(frozen=True, slots=True)
class RetractionPlan:
    """The edits of all tables that the retraction has not been published to yet.

    Attributes:
        edits: the edits, in the order in which they are published.
        onto: the content key of each table now.
        keys: the content key of each table afterwards.
        extra: further properties of the snapshot of each table.
        reelection: the change of the ledger.
        added_pairs: pairs to insert into `edges`.
        spec: tokenizer for new survivors, where there are any.
        encoded: int64[n], the new survivors to insert into `tokens`: those without a benchmark
            item.
    """

    edits: tuple[TableEdit, ...]
    onto: Mapping[str, str | None]
    keys: Mapping[str, str]
    extra: Mapping[str, Mapping[str, str]]
    reelection: Reelection
    added_pairs: pa.Table
    spec: TokenizerSpec | None
    encoded: np.ndarray


def edited_tables() -> list[str]:
    """The tables that a retraction edits, in the order in which they are published.

    A table comes after those that are made from it, so that a resumed run still finds all that it
    needs: the ledger is made from the pairs, the tokens of new survivors from the ledger and
    `documents`.
    """
    return [name for name in reversed(table_names()) if name != RETRACTIONS]


def pending_tables(corpus: Corpus, key: str | None) -> list[str]:
    """Tables that a retraction has not been published to yet, in the order of publishing.

    Args:
        corpus: the corpus.
        key: key of the retraction; None for one that has not begun.
    """
    existing = set(corpus.existing_tables())
    tables = [corpus.table(name) for name in edited_tables() if name in existing]
    return [
        table.name
        for table in tables
        # Without benchmark items `contained` has no rows, and a key that no retraction changes.
        if table.content_key not in (None, NO_ITEMS)
        and (not key or table.latest_property(RETRACTION) != key)
    ]


def plan_retraction(context: StageContext, retraction: Retraction) -> RetractionPlan:
    """Find out what has to change; nothing is written."""
    pending = pending_tables(context.corpus, retraction.key)
    onto = {table: context.corpus.table(table).content_key for table in pending}
    upstream = Upstream.of_retraction(context)
    keys = _Keys.of(context, upstream, retraction.key)
    current = _current(context, keys, retraction.retracted, pending)
    added_pairs, reelection = EDGE_SCHEMA.empty_table(), Reelection.none()
    if "edges" in current:
        banding = banding_of(upstream.settings)
        added_pairs = replaced_pairs(context, upstream, retraction.retracted, banding)
    if "clusters" in current:
        reelection = reelect(context, upstream, retraction.retracted, added_pairs)
    spec = tokenizer_of_table(context) if len(reelection.promoted) else None
    # The cuts of a document depend on all other survivors, so they are computed again.
    recut = wants_cuts(upstream.settings)
    if recut or (len(reelection.promoted) and spec is None):
        current -= {"clean", "tokens"}
    encoded = _without_items(context, reelection.promoted)
    change = _Change(context, retraction.retracted, reelection, added_pairs, encoded, current)
    edits = {table: change.edit(table) for table in pending}
    return RetractionPlan(
        edits=tuple(edits.values()),
        onto=onto,
        keys={table: keys.after(table, onto[table], current) for table in pending},
        extra=_extra(context, keys, edits, current, reelection),
        reelection=reelection,
        added_pairs=added_pairs,
        spec=spec,
        encoded=encoded,
    )


def _without_items(context: StageContext, doc_ids: np.ndarray) -> np.ndarray:
    """Those of some documents, int64[n] ascending, that contain no benchmark item."""
    if not len(doc_ids):
        return doc_ids
    files = data_files(context.corpus.table("contained").files(), reason=RemovedBy.CONTAINED)
    return np.setdiff1d(
        doc_ids, removed_ids(files, int(doc_ids[0]), int(doc_ids[-1]), context.store)
    )


NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a retraction changes, from which the edit of each table follows.

    Attributes:
        context: the corpus.
        retracted: the documents that are taken out.
        reelection: the clusters that change.
        added_pairs: pairs to insert into `edges`.
        encoded: int64[n], the new survivors to insert into `tokens`.
        current: the tables that stay current.
    """

    context: StageContext
    retracted: DocumentSet
    reelection: Reelection
    added_pairs: pa.Table
    encoded: np.ndarray
    current: frozenset[str]

    def edit(self, table: str) -> TableEdit:
        """The edit of a table, as its declaration says."""
        rule = DECLARED[table].retraction
        if rule is RetractionRule.KEEP:
            return TableEdit(table, RowFilter((), self.retracted), {}, NO_ROWS)
        if rule is RetractionRule.PAIRS:
            return self._planned(table, self.retracted, self.added_pairs["a"].to_numpy())
        if rule is RetractionRule.LEDGER and table in self.current:
            drop = RowFilter(("kept_id",), DocumentSet.of(self.reelection.clusters))
            return plan_edit(
                self.context, table, drop, self.reelection.rows.column("doc_id").to_numpy()
            )
        if rule is RetractionRule.SURVIVORS and table in self.current:
            changed = np.union1d(self.reelection.promoted, self.reelection.demoted)
            added_ids = self.encoded if _is_written(self.context, table) else NO_ROWS
            return self._planned(table, self.retracted.plus(changed), added_ids)
        return self._planned(table, self.retracted, NO_ROWS)

    def _planned(self, table: str, dropped: DocumentSet, added_ids: np.ndarray) -> TableEdit:
        drop = RowFilter(DECLARED[table].names_documents, dropped)
        return plan_edit(self.context, table, drop, added_ids)


def _is_written(context: StageContext, table: str) -> bool:
    return table != "clean" or context.settings.dedup.write_clean


def _extra(
    context: StageContext,
    keys: _Keys,
    edits: Mapping[str, TableEdit],
    current: frozenset[str],
    reelection: Reelection,
) -> Mapping[str, Mapping[str, str]]:
    extra: dict[str, Mapping[str, str]] = {}
    for table in sorted({"edges", "clusters", "contained"} & current):
        # These tables are published before `documents`: while one is pending, so is the edit of
        # `documents`, which has the number of documents to drop.
        removed = edits["documents"].rows_dropped
        held = context.corpus.table(table)
        extra[table] = watermark_properties_without(held, keys.documents_after, removed)
    if "clusters" in current:
        first = ",".join(str(doc_id) for doc_id in reelection.promoted[:SHOWN])
        told = {PROMOTED: str(len(reelection.promoted)), FIRST_PROMOTED: first}
        extra["clusters"] = {**extra["clusters"], **told}
    return extra


def stale_tables(context: StageContext, retraction: str) -> list[str]:
    """Tables that are stale, so that the next run rebuilds them."""
    keys = _Keys.of(context, Upstream.of_retraction(context), retraction)
    existing = context.corpus.existing_tables()
    return [each for each in keys.by_stage if each in existing and not keys.is_current(each)]


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of the tables before and after the retraction.

    Attributes:
        upstream: what the tables were made from.
        retraction: the retraction's key.
        documents_after: the key of `documents` afterwards.
        by_stage: for each table whose key is a stage key, how that key follows from upstream; a
            table comes after those that it is made from.
    """

    upstream: Upstream
    retraction: str
    documents_after: str
    by_stage: Mapping[str, Callable[[Upstream], str]]

    @classmethod
    def of(cls, context: StageContext, upstream: Upstream, retraction: str) -> _Keys:
        present = upstream.documents_key
        is_done = upstream.table("documents").latest_property(RETRACTION) == retraction
        settings = context.settings.tokenize
        spec = named_spec(settings, context.store)

        def tokens(of: Upstream) -> str:
            return tokens_key(of, settings, spec)

        by_stage: Mapping[str, Callable[[Upstream], str]] = {
            "edges": lambda of: of.edges_key,
            "clusters": lambda of: of.ledger_key,
            "contained": lambda of: of.contained_key,
            "tokens": tokens,
            "clean": tokens,
        }
        after = present if is_done else _key_after(present, retraction)
        return cls(upstream, retraction, after, by_stage)

    def is_current(self, table: str) -> bool:
        """Whether a table is the result of the present documents and settings."""
        return self.upstream.table(table).content_key == self.by_stage[table](self.upstream)

    def after(self, table: str, present: str | None, current: frozenset[str]) -> str:
        """The key of a table afterwards; a stale table stays stale."""
        if table in current:
            return self.by_stage[table](self.upstream.of_documents(self.documents_after))
        return _key_after(present or "", self.retraction)


def _key_after(key: str, retraction: str) -> str:
    return stage_key("retract", VERSION, [key], {"retraction": retraction})


def _current(
    context: StageContext, keys: _Keys, retracted: DocumentSet, pending: list[str]
) -> frozenset[str]:
    """The pending tables that stay current.

    Each is made from the one before it, so no table after a stale one can be current.
    """
    current: set[str] = set()
    for table in keys.by_stage:
        if table not in pending:
            continue
        if not keys.is_current(table):
            break
        current.add(table)
    if "clusters" in current and not fits_driver(context, retracted):
        return frozenset()
    return frozenset(current)
