"""Finding the documents that a retraction names, without reading a text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.tables.doc_set import DocumentSet, RowFilter, matching_rows
from strata.pipelines.tables.retractions import (
    Retraction,
    Selector,
    SelectorKind,
    retraction_rows,
    selectors_of,
)
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store

__all__ = ["SelectorMatches", "intent_rows", "match_selectors"]

BATCH_BYTES = 8_000_000
READ = ["doc_id", "id", "url", "content_hash"]
ROW_FACTS = ("doc_id", "ordinal", "id_hash", "content_hash", "own_id")
FOUND = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("id_hash", pa.int64()),
        ("content_hash", SCHEMAS["documents"].field("content_hash").type),
        ("own_id", pa.bool_()),
    ]
)


@dataclass(slots=True)
class SelectorMatches:
    """What each selector names.

    Attributes:
        documents: rows of FOUND, each document once.
        by_selector: the documents of each selector.
        files: the input files of each selector of a source, by ordinal.
        known: selectors that name nothing any more, because it was retracted before.
    """

    documents: pa.Table
    by_selector: dict[Selector, frozenset[int]] = field(default_factory=dict)
    files: dict[Selector, frozenset[int]] = field(default_factory=dict)
    known: frozenset[Selector] = frozenset()

    @property
    def missing(self) -> list[Selector]:
        """Selectors that name nothing, and never did."""
        empty = [selector for selector, found in self.by_selector.items() if not found]
        empty += [selector for selector, found in self.files.items() if not found]
        return sorted(set(empty) - self.known)

    @property
    def retracted(self) -> DocumentSet:
        """All documents and input files that were found."""
        ids = frozenset().union(*self.by_selector.values())
        return DocumentSet.of(ids, frozenset().union(*self.files.values()))


def match_selectors(context: StageContext, selectors: Sequence[Selector]) -> SelectorMatches:
    """Look the selectors up in the tables as they are now."""
    values = {
        kind: [selector.value for selector in selectors if selector.kind is kind]
        for kind in SelectorKind
    }
    numbers = [int(each) for each in values[SelectorKind.DOC_ID]]
    numbers += [int(each) for each in values[SelectorKind.CLUSTER] if _is_number(each)]
    names = values[SelectorKind.ID] + values[SelectorKind.CLUSTER]
    found = _documents(context, names, values[SelectorKind.URL], numbers)
    members = _members(context, found, values[SelectorKind.CLUSTER])
    # No selector names the members themselves, so only their doc_id is known.
    others = frozenset().union(*members.values()) - set(found["doc_id"].to_pylist())
    matches = SelectorMatches(pa.concat_tables([found, _documents(context, [], [], others)]))
    for selector in selectors:
        if selector.kind is SelectorKind.SOURCE:
            matches.files[selector] = _inputs_of(context, selector.value)
        elif selector.kind is SelectorKind.CLUSTER:
            matches.by_selector[selector] = members[selector.value]
        else:
            matches.by_selector[selector] = _named(found, selector)
    matches.documents = _only(matches.documents, matches.retracted.ids)
    return _without_retracted(context, matches)


def intent_rows(retraction: Retraction, matches: SelectorMatches) -> pa.RecordBatch:
    """The rows of a retraction in the table `retractions`.

    One for each pair of a selector and a document, or input file, that it names; one with neither
    for a selector that names nothing.
    """
    known = {row["doc_id"]: row for row in matches.documents.to_pylist()}
    rows = []
    for selector in retraction.selectors:
        named = sorted(matches.by_selector.get(selector, ()))
        files = sorted(matches.files.get(selector, ()))
        facts: list[dict[str, object]] = [known.get(doc_id, {"doc_id": doc_id}) for doc_id in named]
        facts += [{"ordinal": ordinal} for ordinal in files]
        rows += [
            {
                "retraction": retraction.key,
                "kind": str(selector.kind),
                "value": selector.value,
                "reason": retraction.reason,
                "asked_ms": retraction.asked_ms,
                **{name: each[name] for name in ROW_FACTS if name in each},
            }
            for each in facts or [{}]
        ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["retractions"])


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal() and int(value) < 1 << 63


def _only(found: pa.Table, ids: np.ndarray) -> pa.Table:
    chosen = found.filter(pa.array(np.isin(found["doc_id"].to_numpy(), ids)))
    return chosen.sort_by("doc_id")


def _named(found: pa.Table, selector: Selector) -> frozenset[int]:
    column = {SelectorKind.ID: "id", SelectorKind.URL: "url", SelectorKind.DOC_ID: "doc_id"}[
        selector.kind
    ]
    value = int(selector.value) if selector.kind is SelectorKind.DOC_ID else selector.value
    return frozenset(found.filter(pc.equal(found[column], value))["doc_id"].to_pylist())


def _without_retracted(context: StageContext, matches: SelectorMatches) -> SelectorMatches:
    rows = retraction_rows(context.corpus, context.store)
    before = selectors_of(rows)
    # The input manifest lists the files of a source for ever, even once their documents are gone.
    emptied = frozenset(rows["ordinal"].drop_null().to_pylist())
    matches.files = {selector: found - emptied for selector, found in matches.files.items()}
    asked = {**matches.by_selector, **matches.files}
    matches.known = frozenset(
        selector for selector, found in asked.items() if not found and selector in before
    )
    return matches


def _inputs_of(context: StageContext, source: str) -> frozenset[int]:
    return frozenset(
        ordinal
        for file in context.corpus.table("inputs").files()
        for batch in read_batches(
            context.store, file.location, ["ordinal", "source"], None, BATCH_BYTES
        )
        for ordinal in batch.filter(pc.equal(batch.column("source"), source))["ordinal"].to_pylist()
    )


@dataclass(frozen=True, slots=True)
class _DocumentQuery:
    ids: tuple[str, ...]
    urls: tuple[str, ...]
    doc_ids: np.ndarray
    storage: StorageOptions


def _documents(
    context: StageContext, ids: Sequence[str], urls: Sequence[str], doc_ids: Collection[int]
) -> pa.Table:
    wanted = _DocumentQuery(
        tuple(ids), tuple(urls), DocumentSet.of(doc_ids).ids, context.storage_options
    )
    files = context.corpus.table("documents").files()
    if not ids and not urls:
        files = RowFilter(("doc_id",), DocumentSet.of(doc_ids)).files("documents", files)
    context.progress.start("retract", "look for documents", len(files))
    tables = run_tasks(
        context.spark(), partial(_find_documents, wanted=wanted), [file.url for file in files]
    )
    context.progress.finish()
    return pa.concat_tables([FOUND.empty_table(), *tables])


def _find_documents(url: str, wanted: _DocumentQuery) -> pa.Table:
    from strata.pipelines.kernels.content_hash import hash64

    ids, urls = pa.array(wanted.ids, pa.string()), pa.array(wanted.urls, pa.string())
    parts = [FOUND.empty_table()]
    store = open_store(wanted.storage)
    for batch in read_batches(store, Url.parse(url), READ, None, BATCH_BYTES):
        named = pc.or_(pc.is_in(batch.column("id"), ids), pc.is_in(batch.column("url"), urls))
        found = named.to_numpy(zero_copy_only=False)
        found |= np.isin(batch.column("doc_id").to_numpy(), wanted.doc_ids)
        if found.any():
            rows = batch.filter(pa.array(found))
            columns = {name: rows.column(name) for name in READ}
            columns["id_hash"] = pa.array(hash64(rows.column("id")))
            columns["own_id"] = pc.not_equal(rows.column("id"), _made_ids(rows.column("doc_id")))
            parts.append(pa.table([columns[name] for name in FOUND.names], schema=FOUND))
    return pa.concat_tables(parts)


def _made_ids(doc_ids: pa.Int64Array) -> pa.StringArray:
    """The ids that are given to records without one: see readers.records."""
    numbers = doc_ids.to_numpy()
    ordinals = pa.array(numbers >> POSITION_BITS).cast(pa.string())
    places = pa.array(numbers & ((1 << POSITION_BITS) - 1)).cast(pa.string())
    return pc.binary_join_element_wise(ordinals, places, "-")


def _members(
    context: StageContext, found: pa.Table, values: Sequence[str]
) -> Mapping[str, frozenset[int]]:
    """The documents of the cluster of each value; the document alone if it has no duplicate."""
    asked = {value: _one_of(found, value) for value in values}
    ledger = _ledger_rows(context, "doc_id", _union(asked))
    kept = dict(zip(ledger["doc_id"].to_pylist(), ledger["kept_id"].to_pylist(), strict=True))
    rows = _ledger_rows(context, "kept_id", kept.values())
    members: dict[int, set[int]] = {}
    for doc_id, kept_id in zip(
        rows["doc_id"].to_pylist(), rows["kept_id"].to_pylist(), strict=True
    ):
        members.setdefault(kept_id, set()).add(doc_id)
    return {
        value: ids.union(*(members[kept[doc_id]] for doc_id in ids if doc_id in kept))
        for value, ids in asked.items()
    }


def _ledger_rows(context: StageContext, column: str, values: Iterable[int]) -> pa.Table:
    row_filter = RowFilter((column,), DocumentSet.of(values))
    return matching_rows(context, "clusters", ("doc_id", "kept_id"), row_filter)


def _union(found: Mapping[str, frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*found.values())


def _one_of(found: pa.Table, value: str) -> frozenset[int]:
    by_id = _named(found, Selector(SelectorKind.ID, value))
    if by_id or not _is_number(value):
        return by_id
    return _named(found, Selector(SelectorKind.DOC_ID, value))
