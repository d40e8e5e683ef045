"""The key of every result: what decides its rows, as a digest.

A result is current while its key is that of the present documents and settings. Keys are functions
of values alone; :mod:`strata.pipelines.lineage.upstream` has the values that a stage stands on.
"""

from __future__ import annotations

from collections.abc import Sequence

from strata.keys import stage_key
from strata.pipelines.kernels.banding import Banding, choose_banding
from strata.pipelines.tables.other_corpora import BenchmarkCorpus, ReferenceCorpus
from strata.settings import DedupSettings, Passage

__all__ = [
    "NO_ITEMS",
    "banding_of",
    "contained_key",
    "cuts_key",
    "edges_key",
    "item_key",
    "ledger_key",
    "ledger_settings_key",
    "removals_key",
    "search_key",
    "wants_cuts",
]

# Increment when the code changes which documents contain an item, or the rows of `contained`.
CONTAINED_VERSION = 1
# Key of `contained` where the settings no longer name a benchmark corpus.
NO_ITEMS = stage_key("contained", CONTAINED_VERSION, [], {})
# Increment when the code changes which pairs are found, or the rows of `edges`.
EDGES_VERSION = 1
# Increment when the code changes which documents are removed, or the rows of the ledger.
LEDGER_VERSION = 2
# Increment when the code changes which passages are cut.
CUTS_VERSION = 1


def item_key(settings: DedupSettings, corpora: Sequence[BenchmarkCorpus]) -> str:
    """Key of everything but the documents that decides the rows of `contained`."""
    decisive = {
        "corpora": [corpus.name for corpus in corpora],
        "ngram": settings.contain_ngram,
        "containment": settings.containment,
        "words": settings.contain_words,
    }
    return stage_key("items", CONTAINED_VERSION, [corpus.key for corpus in corpora], decisive)


def contained_key(
    documents: str, settings: DedupSettings, corpora: Sequence[BenchmarkCorpus]
) -> str:
    """Key of `contained`, given the key of the documents and the benchmark corpora."""
    if not corpora:
        return NO_ITEMS
    return stage_key("contained", CONTAINED_VERSION, [documents, item_key(settings, corpora)], {})


def removals_key(ledger: str, contained: str) -> str:
    """Key of the set of survivors, given the keys of the tables that remove documents."""
    if contained == NO_ITEMS:
        return ledger
    return stage_key("removals", CONTAINED_VERSION, [ledger, contained], {})


def search_key(settings: DedupSettings, corpora: Sequence[ReferenceCorpus]) -> str:
    """Key of everything but the documents that decides the edges."""
    banding = banding_of(settings)
    decisive = {
        "threshold": settings.threshold,
        "bands": banding.bands,
        "rows": banding.rows,
        "verify": settings.verify,
    }
    return stage_key("search", EDGES_VERSION, [corpus.key for corpus in corpora], decisive)


def edges_key(documents: str, search: str) -> str:
    """Key of the edges, given the keys of the documents and of the search."""
    return stage_key("edges", EDGES_VERSION, [documents], {"search": search})


def ledger_key(edges: str, settings: DedupSettings) -> str:
    """Key of the ledger, given the key of the edges."""
    return stage_key("dedup", LEDGER_VERSION, [edges], _election(settings))


def ledger_settings_key(search: str, settings: DedupSettings) -> str:
    """Key of everything but the documents that decides the ledger, given the key of the search."""
    return stage_key("ledger", LEDGER_VERSION, [search], _election(settings))


def _election(settings: DedupSettings) -> dict[str, object]:
    return {"survivor": list(settings.survivor), "link": str(settings.link)}


def banding_of(settings: DedupSettings) -> Banding:
    """The bands and rows that the settings give, or that follow from the threshold."""
    if settings.bands is not None and settings.rows is not None:
        return Banding(settings.bands, settings.rows)
    return choose_banding(settings.threshold)


def wants_cuts(settings: DedupSettings) -> bool:
    """Whether the settings ask for deduplication of any granularity finer than documents."""
    return settings.passages is not Passage.NONE or settings.substring_words is not None


def cuts_key(settings: DedupSettings, removals: str) -> str:
    """Key of the cuts, given the key of the set of survivors."""
    lines = settings.passages is not Passage.NONE
    decisive = {
        "passages": str(settings.passages),
        "passage_words": settings.passage_words if lines else None,
        "substring_words": settings.substring_words,
    }
    return stage_key("cuts", CUTS_VERSION, [removals], decisive)
