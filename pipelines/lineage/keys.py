"""The key of every result: what decides its rows, as a digest.

A result is current while its key is that of the present documents and settings.
"""

from __future__ import annotations

from collections.abc import Sequence

from strata.keys import stage_key
from strata.pipelines.execution.stage import (
    StageContext,
)
from strata.pipelines.kernels.banding import Banding, choose_banding
from strata.pipelines.tables.other_corpora import (
    BenchmarkCorpus,
    benchmark_corpora,
    reference_corpora,
)
from strata.settings import DedupSettings, Passage

__all__ = [
    "NO_ITEMS",
    "banding_of",
    "contained_key",
    "cuts_are_current",
    "cuts_key",
    "dedup_key",
    "edges_key",
    "is_contained_current",
    "item_key",
    "removals_key",
    "wants_cuts",
]

# Raise it when the code changes which documents contain an item, or the rows of `contained`.
CONTAINED_VERSION = 1
# Key of `contained` where no corpus of items is named any more.
NO_ITEMS = stage_key("contained", CONTAINED_VERSION, [], {})
# Raise it when the code changes which pairs are found, or the rows of `edges`.
EDGES_VERSION = 1
# Raise it when the code changes which documents are removed, or the rows of the ledger.
LEDGER_VERSION = 2
# Raise it when the code changes which passages are cut.
CUTS_VERSION = 1


def item_key(context: StageContext, corpora: Sequence[BenchmarkCorpus]) -> str:
    """Key of what decides the rows of `contained`, but for the documents."""
    settings = context.settings.dedup
    decisive = {
        "corpora": [corpus.name for corpus in corpora],
        "ngram": settings.contain_ngram,
        "containment": settings.containment,
        "words": settings.contain_words,
    }
    return stage_key("items", CONTAINED_VERSION, [corpus.key for corpus in corpora], decisive)


def contained_key(context: StageContext, documents_key: str | None = None) -> str:
    """Key of the rows of `contained` that documents, the present ones by default, and items give.

    Raises:
        SettingsError: a corpus of items does not exist.
        InputMissingError: a corpus of items holds nothing.
    """
    corpora = benchmark_corpora(context)
    if not corpora:
        return NO_ITEMS
    documents = documents_key or context.corpus.table("documents").content_key or ""
    return stage_key("contained", CONTAINED_VERSION, [documents, item_key(context, corpora)], {})


def is_contained_current(context: StageContext) -> bool:
    """Whether `contained` is that of the present documents, items and settings."""
    present, wanted = context.corpus.table("contained").content_key, contained_key(context)
    return present == wanted or (present is None and wanted == NO_ITEMS)


def removals_key(context: StageContext, documents_key: str | None = None) -> str:
    """Key of the set that remains of documents, the present ones by default."""
    ledger, contained = dedup_key(context, documents_key), contained_key(context, documents_key)
    if contained == NO_ITEMS:
        return ledger
    return stage_key("removals", CONTAINED_VERSION, [ledger, contained], {})


def edges_key(context: StageContext, documents_key: str | None = None) -> str:
    """Key of the edges that documents, the present ones by default, and the settings give."""
    documents = documents_key or context.corpus.table("documents").content_key or ""
    return stage_key("edges", EDGES_VERSION, [documents], {"search": _search_key(context)})


def dedup_key(context: StageContext, documents_key: str | None = None) -> str:
    """Key of the ledger that documents, the present ones by default, and the settings give."""
    input_keys = [edges_key(context, documents_key)]
    return stage_key("dedup", LEDGER_VERSION, input_keys, _election(context))


def _election(context: StageContext) -> dict[str, object]:
    settings = context.settings.dedup
    return {"survivor": list(settings.survivor), "link": str(settings.link)}


def _search_key(context: StageContext) -> str:
    """Key of what decides the edges, but for the documents."""
    settings = context.settings.dedup
    banding = banding_of(settings)
    decisive = {
        "threshold": settings.threshold,
        "bands": banding.bands,
        "rows": banding.rows,
        "verify": settings.verify,
    }
    others = [corpus.key for corpus in reference_corpora(context)]
    return stage_key("search", EDGES_VERSION, others, decisive)


def banding_of(settings: DedupSettings) -> Banding:
    """The bands and rows that are given, or that follow from the threshold."""
    if settings.bands is not None and settings.rows is not None:
        return Banding(settings.bands, settings.rows)
    return choose_banding(settings.threshold)


def wants_cuts(settings: DedupSettings) -> bool:
    """Whether the settings ask for any grain finer than documents."""
    return settings.passages is not Passage.NONE or settings.substring_words is not None


def cuts_key(settings: DedupSettings, removals: str) -> str:
    """Key of the cuts in the documents that remain, given the key of these."""
    lines = settings.passages is not Passage.NONE
    decisive = {
        "passages": str(settings.passages),
        "passage_words": settings.passage_words if lines else None,
        "substring_words": settings.substring_words,
    }
    return stage_key("cuts", CUTS_VERSION, [removals], decisive)


def cuts_are_current(context: StageContext, removals: str) -> bool:
    """Whether `cuts` is that of what remains, given its key; it may be missing where not wanted."""
    present = context.corpus.table("cuts").content_key
    settings = context.settings.dedup
    return present == cuts_key(settings, removals) or (present is None and not wants_cuts(settings))
