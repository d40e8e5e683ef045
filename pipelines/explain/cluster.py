"""The cluster of a document: its members, and the verified pairs that put the document in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile

from strata.pipelines.explain.chain import Cluster, Link, chain, read_cluster
from strata.pipelines.explain.text_diff import TextDiff, text_diff
from strata.pipelines.tables.lookup import Row, TableLookup
from strata.pipelines.tables.names import DocumentName, DocumentNames
from strata.settings import LinkRule

__all__ = ["ChainState", "ChainStep", "ClusterTrace", "Comparison", "Member", "trace_clusters"]


class ChainState(StrEnum):
    """What is known of the chain from a document to its survivor."""

    SURVIVOR = "survivor"
    FOUND = "found"
    MISSING = "missing"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Member:
    """A document of a cluster.

    Attributes:
        doc_id: its ``doc_id``.
        name: what it is called.
        kept: whether it is the survivor.
        similarity: similarity to its most similar neighbour; None for a document of a reference
            corpus.
    """

    doc_id: int
    name: DocumentName
    kept: bool
    similarity: float | None


@dataclass(frozen=True, slots=True)
class ChainStep:
    """A verified pair on the way to the survivor: the document that it leads to."""

    doc_id: int
    name: DocumentName
    similarity: float
    equal: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The text of the explained document, compared with another document of its cluster.

    Attributes:
        doc_id: the other document: the survivor, or the next unequal one of the chain if that has
            more in common.
        name: what it is called.
        diff: the diff from its text to that of the explained document.
    """

    doc_id: int
    name: DocumentName
    diff: TextDiff


@dataclass(frozen=True, slots=True)
class ClusterTrace:
    """The cluster of one document.

    Attributes:
        members: the survivor, the document, and others by ``doc_id``, up to a limit.
        more: number of members beyond the limit.
        state: whether the chain is known.
        chain: the fewest verified pairs that lead from the document to the survivor.
        chain_more: number of further steps, beyond the limit.
        comparison: the comparison of the texts; None for a survivor.
    """

    members: tuple[Member, ...]
    more: int
    state: ChainState
    chain: tuple[ChainStep, ...]
    chain_more: int
    comparison: Comparison | None


def trace_clusters(
    tables: TableLookup,
    names: DocumentNames,
    entries: Mapping[int, Row],
    link: LinkRule,
    limit: int,
) -> dict[int, ClusterTrace]:
    """The clusters of some documents.

    Args:
        tables: the corpus.
        names: of its documents.
        entries: rows of the ledger, by document.
        link: how the ledger links documents to survivors.
        limit: the most members and steps that are listed.
    """
    kept_ids = {entry["kept_id"] for entry in entries.values()}
    clusters = {kept_id: read_cluster(tables, kept_id) for kept_id in kept_ids}
    return {
        doc_id: _trace(names, clusters[entry["kept_id"]], entry, link, limit)
        for doc_id, entry in entries.items()
    }


def _trace(
    names: DocumentNames, cluster: Cluster, entry: Row, link: LinkRule, limit: int
) -> ClusterTrace:
    doc_id, kept_id = entry["doc_id"], cluster.kept_id
    links = _direct(entry) if link is LinkRule.DIRECT else _chain(cluster, doc_id)
    told = (links or ())[:limit]
    members = cluster.first(limit, doc_id)
    names.preload([*members, *(each.doc_id for each in told)])
    return ClusterTrace(
        members=tuple(
            Member(each, names[each], each == kept_id, similarity)
            for each, similarity in members.items()
        ),
        more=max(0, entry["cluster_size"] - len(members)),
        state=_state(cluster, doc_id, links),
        chain=tuple(
            ChainStep(each.doc_id, names[each.doc_id], round(each.similarity, 4), each.equal)
            for each in told
        ),
        chain_more=len(links or ()) - len(told),
        comparison=None if entry["kept"] else _compare(names, doc_id, kept_id, links or ()),
    )


def _chain(cluster: Cluster, doc_id: int) -> tuple[Link, ...] | None:
    return None if cluster.edges is None else chain(cluster.edges, doc_id, cluster.kept_id)


def _direct(entry: Row) -> tuple[Link, ...]:
    """The only pair behind an entry of a ledger of direct links: its neighbour is the survivor."""
    equal = entry["method"] == "exact"
    return () if entry["kept"] else (Link(entry["kept_id"], entry["similarity"], equal),)


def _state(cluster: Cluster, doc_id: int, links: Sequence[Link] | None) -> ChainState:
    if doc_id == cluster.kept_id:
        return ChainState.SURVIVOR
    if links is not None:
        return ChainState.FOUND
    return ChainState.TOO_LARGE if cluster.edges is None else ChainState.MISSING


def _compare(
    names: DocumentNames, doc_id: int, kept_id: int, links: Sequence[Link]
) -> Comparison | None:
    """Compare with the survivor, or with the next document where more of its text is the same."""
    # Documents equal to this one would show nothing.
    unlike = [link.doc_id for link in dropwhile(lambda link: link.equal, links)]
    others = dict.fromkeys([kept_id, *unlike[:1]])
    texts = names.texts([doc_id, *others])
    diffs = [
        Comparison(other, names[other], text_diff(texts[other], texts[doc_id]))
        for other in others
        if other in texts and doc_id in texts
    ]
    return max(diffs, key=lambda found: found.diff.common, default=None)
