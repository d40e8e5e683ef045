"""Where the texts of documents are: ours, and those of the corpora that ours is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strata.pipelines.foreign import ForeignCorpus
from strata.pipelines.stage import StageContext
from strata.storage.table import CorpusTable

__all__ = ["TextFile", "foreign_texts", "own_texts"]


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file of `documents`; ``shift`` is added to its document ids, as to those of fingerprints.

    ``min_doc_id`` and ``max_doc_id`` are its smallest and largest ids after that.
    """

    url: str
    min_doc_id: int
    max_doc_id: int
    shift: int = 0


def own_texts(context: StageContext) -> tuple[TextFile, ...]:
    """The files of our `documents`."""
    return _files(context.corpus.table("documents"), None, 0)


def foreign_texts(
    context: StageContext, corpora: Iterable[ForeignCorpus]
) -> tuple[TextFile, ...] | None:
    """Those of other corpora, or None where one no longer has the state that is compared with."""
    found: list[TextFile] = []
    for corpus in corpora:
        documents = context.corpus.sibling(corpus.origin.corpus).table("documents")
        states = [each for each in documents.snapshots() if each.content_key == corpus.key]
        if not states:
            return None
        found += _files(documents, states[-1].snapshot_id, corpus.origin.shift)
    return tuple(found)


def _files(documents: CorpusTable, snapshot: int | None, shift: int) -> tuple[TextFile, ...]:
    return tuple(
        TextFile(file.url, file.min_doc_id + shift, file.max_doc_id + shift, shift)
        for file in documents.files(snapshot)
    )
