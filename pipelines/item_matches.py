"""The benchmark items that single documents contain, as `contained` has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from strata.pipelines.contained_names import ItemNames
from strata.pipelines.stage import StageContext
from strata.pipelines.table_lookup import Row, TableLookup

__all__ = ["NO_MATCHES", "ItemMatch", "ItemMatches", "item_matches"]

COLUMNS = ("doc_id", "other_corpus", "other_id", "containment", "matched", "sample")
MAX_REPORTED = 10


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """An item that a document contains.

    Attributes:
        corpus: the corpus of the item.
        id: the user's id of the item.
        containment: share of its n-grams that the document has.
        matched: their number.
        sample: the beginning of the longest run of matched words.
    """

    corpus: str
    id: str
    containment: float
    matched: int
    sample: str


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """The items that a document contains: how many, and the first ten by containment."""

    number: int
    best: tuple[ItemMatch, ...]


NO_MATCHES = ItemMatches(0, ())


def item_matches(
    context: StageContext, tables: TableLookup, doc_ids: Collection[int]
) -> Mapping[int, ItemMatches]:
    """What documents contain; those without an item are not in it."""
    wanted = np.array(sorted(doc_ids), np.int64)
    found: dict[int, list[Row]] = {}
    for batch in tables.batches_of("contained", "doc_id", COLUMNS, wanted):
        for row in batch.to_pylist():
            found.setdefault(row["doc_id"], []).append(row)
    names = ItemNames(context.corpus, context.store)
    return {doc_id: _matches(rows, names) for doc_id, rows in found.items()}


def _matches(rows: list[Row], names: ItemNames) -> ItemMatches:
    ordered = sorted(
        rows, key=lambda row: (-row["containment"], row["other_corpus"], row["other_id"])
    )
    best = ordered[:MAX_REPORTED]
    ids = names.of([(row["other_corpus"], row["other_id"]) for row in best])
    return ItemMatches(
        len(rows),
        tuple(
            ItemMatch(
                corpus=row["other_corpus"],
                id=name,
                containment=round(row["containment"], 4),
                matched=row["matched"],
                sample=row["sample"],
            )
            for row, name in zip(best, ids, strict=True)
        ),
    )
