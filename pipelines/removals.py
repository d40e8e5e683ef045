"""What decides which documents are removed: the ledger `clusters`, and `contained` beside it."""

from __future__ import annotations

from collections.abc import Sequence

from strata.keys import stage_key
from strata.pipelines.dedup import dedup_key
from strata.pipelines.item_corpora import BenchmarkCorpus, benchmark_corpora
from strata.pipelines.stage import StageContext

__all__ = [
    "NO_ITEMS",
    "contained_key",
    "is_contained_current",
    "item_key",
    "removals_key",
]

# Raise it when the code changes which documents contain an item, or the rows of `contained`.
VERSION = 1
# Key of `contained` where no corpus of items is named any more.
NO_ITEMS = stage_key("contained", VERSION, [], {})


def item_key(context: StageContext, corpora: Sequence[BenchmarkCorpus]) -> str:
    """Key of what decides the rows of `contained`, but for the documents."""
    settings = context.settings.dedup
    decisive = {
        "corpora": [corpus.name for corpus in corpora],
        "ngram": settings.contain_ngram,
        "containment": settings.containment,
        "words": settings.contain_words,
    }
    return stage_key("items", VERSION, [corpus.key for corpus in corpora], decisive)


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
    return stage_key("contained", VERSION, [documents, item_key(context, corpora)], {})


def is_contained_current(context: StageContext) -> bool:
    """Whether `contained` is that of the present documents, items and settings."""
    present, wanted = context.corpus.table("contained").content_key, contained_key(context)
    return present == wanted or (present is None and wanted == NO_ITEMS)


def removals_key(context: StageContext, documents_key: str | None = None) -> str:
    """Key of the set that remains of documents, the present ones by default."""
    ledger, contained = dedup_key(context, documents_key), contained_key(context, documents_key)
    if contained == NO_ITEMS:
        return ledger
    return stage_key("removals", VERSION, [ledger, contained], {})
