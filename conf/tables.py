"""The tables of a corpus: one declaration each, with all facts about a table but its columns.

They are on the lowest floor because settings, storage, pipelines and commands all use them; the
schema of a table has the same name in :data:`strata.storage.layout.schemas.SCHEMAS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "DECLARED",
    "RepairRule",
    "RetractionRule",
    "Table",
    "published_with",
    "table_names",
]


class RetractionRule(StrEnum):
    """How a retraction edits a table."""

    KEEP = "keep"
    """Its rows name no documents: they stay, under a new key."""
    DROP = "drop"
    """Rows that name a retracted document are removed."""
    PAIRS = "pairs"
    """Pairs with a retracted document are removed, and pairs that it connected are added."""
    LEDGER = "ledger"
    """Clusters that lose a document elect their survivor again."""
    SURVIVORS = "survivors"
    """Documents are added and removed as their clusters elect."""


class RepairRule(StrEnum):
    """What the rows of a broken file are rebuilt from, besides equal copies."""

    COPIES = "copies"
    """Nothing else."""
    INPUTS = "inputs"
    """The copy of a document in another table, or its input file."""
    SKETCHES = "sketches"
    """The texts of `documents`, sketched again."""
    SURVIVORS = "survivors"
    """The survivors among `documents`."""
    TOKENS = "tokens"
    """The survivors, encoded again."""
    CLEAR = "clear"
    """The next run, which finds the table empty."""


@dataclass(frozen=True, slots=True)
class Table:
    """The declaration of a table.

    Attributes:
        name: its name.
        stage: the stage that writes it.
        made_from: tables whose rows decide its own.
        sorted_by: columns by which the rows of a file are sorted; none where they are not.
        names_documents: columns with document ids; a row that names a retracted one is removed.
        twins: where each row is a document, the other tables that have all of its documents, the
            closest first; none where rows are something else.
        group: name of the group of tables that are published, and rolled back, together.
        retraction: how a retraction edits it.
        repair: what a broken file is rebuilt from.
        cleared_with: tables that are cleared before it, since otherwise their stage is skipped.
        is_exported: whether `strata export` writes it.
        can_be_ordered: whether its rows can be ordered by another column than the document id.
    """

    name: str
    stage: str
    made_from: tuple[str, ...] = ()
    sorted_by: tuple[str, ...] = ("doc_id",)
    names_documents: tuple[str, ...] = ("doc_id",)
    twins: tuple[str, ...] = ()
    group: str = ""
    retraction: RetractionRule = RetractionRule.DROP
    repair: RepairRule = RepairRule.COPIES
    cleared_with: tuple[str, ...] = ()
    is_exported: bool = False
    can_be_ordered: bool = False

    @property
    def has_row_a_document(self) -> bool:
        """Whether a row is a document."""
        return bool(self.twins)


DECLARED: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "inputs",
            "shard",
            sorted_by=(),
            names_documents=(),
            group="shard",
            retraction=RetractionRule.KEEP,
        ),
        Table(
            "documents",
            "shard",
            made_from=("inputs",),
            twins=("fingerprints",),
            group="shard",
            repair=RepairRule.INPUTS,
            is_exported=True,
            can_be_ordered=True,
        ),
        Table(
            "rejects",
            "shard",
            made_from=("inputs",),
            sorted_by=(),
            names_documents=(),
            group="shard",
            retraction=RetractionRule.KEEP,
            is_exported=True,
        ),
        Table(
            "fingerprints",
            "shard",
            made_from=("documents",),
            twins=("documents",),
            group="shard",
            repair=RepairRule.SKETCHES,
        ),
        Table(
            "edges",
            "dedup",
            made_from=("fingerprints",),
            sorted_by=("a", "b"),
            names_documents=("a", "b"),
            retraction=RetractionRule.PAIRS,
            repair=RepairRule.CLEAR,
            cleared_with=("clusters",),
        ),
        Table(
            "clusters",
            "dedup",
            made_from=("edges", "fingerprints"),
            retraction=RetractionRule.LEDGER,
            repair=RepairRule.CLEAR,
            is_exported=True,
        ),
        Table(
            "contained",
            "decontaminate",
            made_from=("documents",),
            repair=RepairRule.CLEAR,
            is_exported=True,
        ),
        Table(
            "cuts",
            "dedup",
            made_from=("documents", "clusters", "contained"),
            names_documents=("doc_id", "first_id"),
            repair=RepairRule.CLEAR,
        ),
        Table(
            "clean",
            "tokenize",
            made_from=("documents", "clusters", "contained", "cuts"),
            twins=("tokens", "documents", "fingerprints"),
            group="tokenize",
            retraction=RetractionRule.SURVIVORS,
            repair=RepairRule.SURVIVORS,
            can_be_ordered=True,
        ),
        Table(
            "tokens",
            "tokenize",
            made_from=("documents", "clusters", "contained", "cuts"),
            twins=("clean", "documents", "fingerprints"),
            group="tokenize",
            retraction=RetractionRule.SURVIVORS,
            repair=RepairRule.TOKENS,
            is_exported=True,
            can_be_ordered=True,
        ),
        Table(
            "retractions",
            "retract",
            sorted_by=(),
            retraction=RetractionRule.KEEP,
        ),
    )
}
"""The declarations by name. A table comes after those that it is made from."""


def table_names() -> tuple[str, ...]:
    """The names of all tables; each comes after those that it is made from."""
    return tuple(DECLARED)


def published_with(name: str) -> tuple[str, ...]:
    """The tables that are published together with one, itself among them, in declared order."""
    group = DECLARED[name].group
    return tuple(
        each.name
        for each in DECLARED.values()
        if each.name == name or (group and each.group == group)
    )
