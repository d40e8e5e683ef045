"""The path of one document through the tables of a corpus, read from their small columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from strata.errors import InputMissingError
from strata.pipelines.decontamination.matches import NO_MATCHES, ItemMatches, item_matches
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.explain.cluster import ClusterTrace, trace_clusters
from strata.pipelines.lineage.keys import edges_key, ledger_key, search_key
from strata.pipelines.tables.lookup import Row, TableLookup
from strata.pipelines.tables.names import DocumentNames
from strata.pipelines.tables.other_corpora import reference_corpora
from strata.storage.contracts.url import percent_encoded
from strata.storage.layout.doc_ids import POSITION_BITS

__all__ = [
    "LedgerState",
    "Membership",
    "RejectedRecord",
    "Trace",
    "TracedDocument",
    "trace_document",
]

# An id that all records share must not exhaust the memory.
MAX_REPORTED = 100
# The most documents whose clusters and texts are read.
MAX_IN_FULL = 5
LAST_ID = 2**63 - 1
# After a run died between two publishes, a table may lack documents that another one names.
NOWHERE: Row = {"uri": "", "format": ""}
DOCUMENT_COLUMNS = ("doc_id", "id", "source", "lang", "n_bytes")
LEDGER_COLUMNS = ("doc_id", "kept_id", "cluster_size", "kept", "method", "similarity")


class LedgerState(StrEnum):
    """Whether the ledger can be trusted."""

    MISSING = "missing"
    CURRENT = "current"
    STALE = "stale"

    @classmethod
    def of(cls, key: str | None, wanted: str) -> LedgerState:
        """The state of a ledger with this key, given the key that the present documents lead to."""
        if key is None:
            return cls.MISSING
        return cls.CURRENT if key == wanted else cls.STALE


@dataclass(frozen=True, slots=True)
class Membership:
    """A row of the ledger: the cluster of duplicates that a document is in.

    Attributes:
        kept: whether the document is the survivor.
        size: documents in the cluster.
        kept_doc_id: ``doc_id`` of the survivor.
        kept_id: the user's id of the survivor; None where a stale ledger names one that is gone.
        kept_corpus: the reference corpus that the survivor belongs to; None where it is this one.
        method: exact or fuzzy.
        similarity: similarity to the most similar neighbour in the cluster.
    """

    kept: bool
    size: int
    kept_doc_id: int
    kept_id: str | None
    kept_corpus: str | None
    method: str
    similarity: float


@dataclass(frozen=True, slots=True)
class TracedDocument:
    """A document and what became of it.

    Attributes:
        doc_id: its ``doc_id``.
        id: the user's id.
        source: name of the source.
        lang: language, where the record names one.
        n_bytes: bytes of text.
        uri: the input file.
        ordinal: ordinal of the input file.
        position: byte offset (jsonl), row (parquet) or record (csv) in the input file.
        format: format of the input file.
        cluster: its row of the ledger; None where it has no duplicate.
        duplicates: the cluster itself; only for the first five documents, else None.
        items: the benchmark items that it contains.
        in_clean: whether `clean` has it; None where that table was never written.
        n_tokens: its number of tokens; None where `tokens` does not have it.
    """

    doc_id: int
    id: str
    source: str
    lang: str | None
    n_bytes: int
    uri: str
    ordinal: int
    position: int
    format: str
    cluster: Membership | None
    duplicates: ClusterTrace | None
    items: ItemMatches
    in_clean: bool | None
    n_tokens: int | None


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A row of the table `rejects`."""

    uri: str
    ordinal: int
    position: int
    reason: str
    excerpt: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that the tables know of the documents that a user's query names.

    Attributes:
        asked: the query: an id, a ``doc_id``, or ``uri:position``.
        matching: how many documents it names; the first 100 of them are in ``documents``.
        documents: the documents, by ``doc_id``.
        rejects: records at this place that could not be read.
        ledger: whether the ledger is that of the present documents and settings.
    """

    asked: str
    matching: int
    documents: tuple[TracedDocument, ...]
    rejects: tuple[RejectedRecord, ...]
    ledger: LedgerState


def trace_document(context: StageContext, asked: str, members: int = 10) -> Trace:
    """Look for a document in every table.

    Args:
        context: the corpus.
        asked: the user's id, a ``doc_id``, or ``uri:position`` of the record; the end of a URI
            is enough.
        members: most documents of its cluster, and steps of the chain to its survivor, to list.

    Raises:
        InputMissingError: nothing by that name was read.
    """
    asked = percent_encoded(asked)
    tables = TableLookup(context.corpus, context.store)
    inputs = tables.inputs()
    places, by_id = _places(asked, inputs), tables.ids_of(asked)
    rows = tables.rows("documents", DOCUMENT_COLUMNS, {*places, *by_id[:MAX_REPORTED]})
    broken = [place >> POSITION_BITS for place in places]
    broken = [o for o in broken if inputs.get(o, {}).get("status") == "broken"]
    rejects = tables.rejects(places, broken)[:MAX_REPORTED]
    if not rows and not rejects:
        raise _unknown(context.settings.corpus, asked, len(inputs))
    return Trace(
        asked=asked,
        matching=len({*by_id, *rows}),
        documents=tuple(_documents(context, tables, rows, inputs, members)),
        rejects=tuple(RejectedRecord(**row) for row in rejects),
        ledger=_ledger_state(context),
    )


def _ledger_state(context: StageContext) -> LedgerState:
    settings, documents = context.settings.dedup, context.corpus.table("documents").content_key
    search = search_key(settings, reference_corpora(context.corpus, settings))
    wanted = ledger_key(edges_key(documents or "", search), settings)
    return LedgerState.of(context.corpus.table("clusters").content_key, wanted)


def _places(asked: str, inputs: Mapping[int, Row]) -> set[int]:
    """The ``doc_id`` that the query gives as a number, or as the position of a record."""
    places = set()
    if asked.isascii() and asked.isdigit() and int(asked) <= LAST_ID:
        places.add(int(asked))
    uri, _, position = asked.rpartition(":")
    if uri and position.isascii() and position.isdigit() and int(position) < 1 << POSITION_BITS:
        end = uri if uri.startswith("/") else f"/{uri}"
        for ordinal, entry in inputs.items():
            if entry["uri"] == uri or entry["uri"].endswith(end):
                places.add(ordinal << POSITION_BITS | int(position))
    return places


def _unknown(corpus: str, asked: str, inputs: int) -> InputMissingError:
    if not inputs:
        return InputMissingError(
            f"the corpus {corpus} holds no documents yet",
            hint="run `strata shard` or `strata run` first",
        )
    return InputMissingError(
        f"the corpus {corpus} has no document {asked!r} in {inputs:,} input file(s)",
        hint="give the id as in the record, a doc_id, or FILE:POSITION as in the table `rejects`, "
        "which `strata export rejects` writes",
    )


def _documents(
    context: StageContext,
    tables: TableLookup,
    rows: Mapping[int, Row],
    inputs: Mapping[int, Row],
    members: int,
) -> Iterable[TracedDocument]:
    ledger = tables.rows("clusters", LEDGER_COLUMNS, rows)
    in_full = {doc_id: ledger[doc_id] for doc_id in sorted(ledger)[:MAX_IN_FULL]}
    names = DocumentNames(context.corpus, context.store, tables, inputs)
    names.preload({entry["kept_id"] for entry in ledger.values()})
    duplicates = trace_clusters(tables, names, in_full, context.settings.dedup.link, members)
    items = item_matches(context, tables, rows)
    has_clean = bool(tables.files("clean"))
    clean = tables.rows("clean", ("doc_id",), rows)
    tokens = tables.rows("tokens", ("doc_id", "n_tokens"), rows)
    for doc_id in sorted(rows):
        yield TracedDocument(
            **rows[doc_id],
            **_place(doc_id, inputs),
            cluster=_membership(ledger.get(doc_id), names),
            duplicates=duplicates.get(doc_id),
            items=items.get(doc_id, NO_MATCHES),
            in_clean=doc_id in clean if has_clean else None,
            n_tokens=tokens[doc_id]["n_tokens"] if doc_id in tokens else None,
        )


def _place(doc_id: int, inputs: Mapping[int, Row]) -> dict[str, Any]:
    ordinal = doc_id >> POSITION_BITS
    entry = inputs.get(ordinal, NOWHERE)
    return {
        "uri": entry["uri"],
        "ordinal": ordinal,
        "position": doc_id & ((1 << POSITION_BITS) - 1),
        "format": entry["format"],
    }


def _membership(entry: Row | None, names: DocumentNames) -> Membership | None:
    if entry is None:
        return None
    return Membership(
        kept=entry["kept"],
        size=entry["cluster_size"],
        kept_doc_id=entry["kept_id"],
        kept_id=names[entry["kept_id"]].id,
        kept_corpus=names[entry["kept_id"]].corpus,
        method=entry["method"],
        similarity=round(entry["similarity"], 4),
    )
