"""From edges to the ledger: clusters, survivors, and the rows of `clusters`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from strata.pipelines.kernels.components import components
from strata.pipelines.kernels.runs import run_starts
from strata.storage.layout.schemas import SCHEMAS

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = [
    "Attributes",
    "LongestFirst",
    "Preference",
    "SourcesFirst",
    "election_keys",
    "election_order",
    "ledger_rows",
    "needs_attributes",
    "preferences",
    "rank",
]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What survivor rules look at: doc_id int64[n], sorted; n_bytes int64[n]; source[n]."""

    doc_id: np.ndarray
    n_bytes: np.ndarray
    source: np.ndarray


class Preference(ABC):
    """What one survivor rule looks at: a sort key; the document with the smallest value survives.

    The driver elects with the array and Spark with the column; both sort in the same order.
    """

    @abstractmethod
    def array(self, attributes: Attributes) -> np.ndarray:
        """The key of each document."""

    @abstractmethod
    def column(self) -> Column:
        """The key as Spark computes it from the columns named like the attributes."""


@dataclass(frozen=True, slots=True)
class LongestFirst(Preference):
    """More bytes of text are better."""

    def array(self, attributes: Attributes) -> np.ndarray:
        """The number of bytes, negated."""
        negated: np.ndarray = -attributes.n_bytes
        return negated

    def column(self) -> Column:
        """The number of bytes, negated."""
        from pyspark.sql import functions as f

        return -f.col("n_bytes")


@dataclass(frozen=True, slots=True)
class SourcesFirst(Preference):
    """The named sources are preferred to all others, in the order in which they are named."""

    sources: tuple[str, ...]

    @classmethod
    def named(cls, names: str) -> SourcesFirst:
        """The sources of a rule "source:a,b", each once."""
        return cls(tuple(dict.fromkeys(name.strip() for name in names.split(","))))

    def array(self, attributes: Attributes) -> np.ndarray:
        """The place of the source among the named ones, from 0; all others come after them."""
        order = {name: place for place, name in enumerate(self.sources)}
        return np.array([order.get(name, len(order)) for name in attributes.source])

    def column(self) -> Column:
        """The place of the source among the named ones, from 1; all others come after them."""
        from pyspark.sql import functions as f

        place = f.array_position(f.lit(list(self.sources)), f.col("source"))
        return f.when(place == 0, len(self.sources) + 1).otherwise(place)


# The part of a rule after its colon is the argument of its preference.
_RULES: Final[dict[str, Callable[[str], Preference]]] = {
    "longest": lambda _: LongestFirst(),
    "source": SourcesFirst.named,
}


def preferences(rules: Sequence[str]) -> list[Preference]:
    """What survivor rules look at before the document id, most important first.

    The id decides last, so that an election has one result; "first" leaves the choice to the id,
    and rules after it are ignored.
    """
    before = takewhile(lambda rule: rule != "first", rules)
    parts = (rule.partition(":") for rule in before)
    return [_RULES[kind](names) for kind, _, names in parts]


def needs_attributes(rules: Sequence[str]) -> bool:
    """Whether the rules look at more than the document id."""
    return bool(preferences(rules))


def rank(rules: Sequence[str], attributes: Attributes) -> list[np.ndarray]:
    """Sort keys of the documents, most important first; the smallest survives."""
    return [*(each.array(attributes) for each in preferences(rules)), attributes.doc_id]


def ledger_rows(
    edges: pa.Table, rules: Sequence[str], attributes: Attributes | None
) -> pa.RecordBatch:
    """The ledger: a row for every document that has a duplicate, sorted by document id.

    Documents of reference corpora (ids below 0) are members of their clusters and are preferred to
    any of ours as survivors, but have no rows.

    Args:
        edges: verified edges a, b, similarity, equal (EDGE_SCHEMA).
        rules: survivor rules.
        attributes: those of every document in an edge, where the rules need them.
    """
    a, b = edges["a"].to_numpy(), edges["b"].to_numpy()
    found = components(a, b)
    nodes, cluster = found.nodes, np.unique(found.root, return_inverse=True)[1]
    size = np.bincount(cluster, minlength=1)[cluster] if len(nodes) else cluster
    kept = _elect(nodes, cluster, rules, attributes)
    left, right = np.searchsorted(nodes, a), np.searchsorted(nodes, b)
    strongest = np.zeros(len(nodes), np.float32)
    similarity = edges["similarity"].to_numpy()
    np.maximum.at(strongest, left, similarity)
    np.maximum.at(strongest, right, similarity)
    exact = _is_exact(a, b, edges["equal"].to_numpy(zero_copy_only=False), nodes, kept)
    columns = {
        "doc_id": pa.array(nodes),
        "kept_id": pa.array(kept),
        "cluster_size": pa.array(size.astype(np.int64)),
        "kept": pa.array(kept == nodes),
        "method": pa.array(np.where(exact, "exact", "fuzzy"), pa.string()),
        "similarity": pa.array(strongest),
    }
    schema = SCHEMAS["clusters"]
    rows = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    # The nodes are sorted.
    return rows.slice(int(np.searchsorted(nodes, 0)))


def election_order(
    nodes: np.ndarray, cluster: np.ndarray, rules: Sequence[str], attributes: Attributes | None
) -> np.ndarray:
    """Order by cluster, then by the survivor rules: int64[n], the best of each cluster first.

    Args:
        nodes: int64[n], documents.
        cluster: int64[n], the cluster of each.
        rules: survivor rules.
        attributes: those of all documents of this corpus; None where the ids alone decide.
    """
    if attributes is None:
        keys = [nodes]
    else:
        own = nodes >= 0
        place = np.searchsorted(attributes.doc_id, nodes[own])
        keys = [_scatter(own, key[place], nodes) for key in rank(rules, attributes)]
        # Documents of reference corpora come first.
        keys = [own, *keys]
    return np.lexsort((*reversed(keys), cluster))


def _elect(
    nodes: np.ndarray, cluster: np.ndarray, rules: Sequence[str], attributes: Attributes | None
) -> np.ndarray:
    order = election_order(nodes, cluster, rules, attributes)
    first = order[run_starts(cluster[order])]
    survivors = np.empty(len(first), np.int64)
    survivors[cluster[first]] = nodes[first]
    return survivors[cluster] if len(nodes) else nodes


def _scatter(own: np.ndarray, key: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """A key of our own documents, extended to all nodes; the others are ordered by id alone."""
    spread = nodes.copy()
    spread[own] = key
    return spread


def _is_exact(
    a: np.ndarray, b: np.ndarray, equal: np.ndarray, nodes: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Whether a removed document is equal to its survivor, or a kept one to all of its cluster."""
    same = components(a[equal], b[equal])
    text = nodes.copy()
    text[np.searchsorted(nodes, same.nodes)] = same.root
    equals_kept = text == text[np.searchsorted(nodes, kept)]
    fuzzy_clusters = np.unique(kept[~equals_kept])
    exact: np.ndarray = equals_kept & ~((nodes == kept) & np.isin(nodes, fuzzy_clusters))
    return exact


def election_keys(rules: Sequence[str]) -> list[Column]:
    """Sort keys of documents in a cluster, most important first: the smallest survives.

    Needs the columns doc_id and, where the rules look at more than the id, n_bytes and source.
    Documents of reference corpora come first, in the order of their ids alone.
    """
    from pyspark.sql import functions as f

    own = f.col("doc_id") >= 0
    keys = [each.column() for each in preferences(rules)]
    ranks = [f.when(own, key).alias(f"k{number}") for number, key in enumerate(keys)]
    return [own.alias("own"), *ranks, f.col("doc_id")]
