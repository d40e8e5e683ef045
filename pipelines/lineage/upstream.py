"""The upstream state of a stage, resolved once when it begins and handed down from there.

Tags move, tables are published to and corpora are dropped while a stage works for hours. So each
table is loaded from the catalog once, and every later lookup of the stage sees that snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strata.pipelines.execution.data_files import DataFile, data_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.lineage.keys import (
    contained_key,
    cuts_key,
    edges_key,
    item_key,
    ledger_key,
    ledger_settings_key,
    removals_key,
    search_key,
)
from strata.pipelines.tables.other_corpora import (
    BenchmarkCorpus,
    ReferenceCorpus,
    benchmark_corpora,
    reference_corpora,
)
from strata.pipelines.tables.state import TableStates
from strata.settings import DedupSettings
from strata.storage.tables.table import TableState

__all__ = ["Upstream"]

# The tables that the keys and the readers of each stage need.
_OF_DEDUP = ("documents", "fingerprints", "inputs", "edges", "clusters", "contained", "cuts")
_OF_TOKENIZE = (*("documents", "fingerprints", "clusters", "contained", "cuts"), "clean", "tokens")
_OF_SURVIVORS = ("documents", "clusters", "contained", "cuts")
_OF_RETRACTION = ("documents", "edges", "clusters", "contained", "clean", "tokens", "fingerprints")


@dataclass(frozen=True, slots=True)
class Upstream:
    """Tables, settings and other corpora at one moment, and the keys of the results they determine.

    Attributes:
        documents_key: content key of `documents`.
        settings: ``[dedup]``, which decides what is removed and cut.
        tables: the tables of the corpus that the stage reads.
        references: the reference corpora, each at one snapshot.
        benchmarks: the benchmark corpora, each at one snapshot.
    """

    documents_key: str
    settings: DedupSettings
    tables: TableStates
    references: tuple[ReferenceCorpus, ...]
    benchmarks: tuple[BenchmarkCorpus, ...]

    @classmethod
    def of_dedup(cls, context: StageContext) -> Upstream:
        """The upstream state of the edges, the ledger and the cuts.

        Raises:
            SettingsError: another corpus that the settings name does not exist.
            InputMissingError: it has no data.
            ConflictError: it cannot be compared with this one.
        """
        return cls._resolve(context, _OF_DEDUP)

    @classmethod
    def of_tokenize(cls, context: StageContext) -> Upstream:
        """The upstream state of the tokens; raises what `of_dedup` raises."""
        return cls._resolve(context, _OF_TOKENIZE)

    @classmethod
    def of_survivors(cls, context: StageContext) -> Upstream:
        """What decides which documents survive; raises what `of_dedup` raises."""
        return cls._resolve(context, _OF_SURVIVORS)

    @classmethod
    def of_retraction(cls, context: StageContext) -> Upstream:
        """What decides which tables are current; raises what `of_dedup` raises."""
        return cls._resolve(context, _OF_RETRACTION)

    @classmethod
    def _resolve(cls, context: StageContext, names: Sequence[str]) -> Upstream:
        corpus, settings = context.corpus, context.settings.dedup
        tables = TableStates.load(corpus, names)
        return cls(
            tables.table("documents").content_key or "",
            settings,
            tables,
            reference_corpora(corpus, settings),
            benchmark_corpora(corpus, settings),
        )

    def table(self, name: str) -> TableState:
        """A table as it was when the stage began."""
        return self.tables.table(name)

    def of_documents(self, key: str) -> Upstream:
        """The same upstream state, with other documents that have this key."""
        return replace(self, documents_key=key)

    @property
    def search_key(self) -> str:
        """Key of everything but the documents that decides the edges."""
        return search_key(self.settings, self.references)

    @property
    def edges_key(self) -> str:
        """Key of the edges of the documents."""
        return edges_key(self.documents_key, self.search_key)

    @property
    def ledger_settings_key(self) -> str:
        """Key of everything but the documents that decides the ledger."""
        return ledger_settings_key(self.search_key, self.settings)

    @property
    def ledger_key(self) -> str:
        """Key of the ledger of the documents."""
        return ledger_key(self.edges_key, self.settings)

    @property
    def item_key(self) -> str:
        """Key of everything but the documents that decides the rows of `contained`."""
        return item_key(self.settings, self.benchmarks)

    @property
    def contained_key(self) -> str:
        """Key of the rows of `contained`."""
        return contained_key(self.documents_key, self.settings, self.benchmarks)

    @property
    def removals_key(self) -> str:
        """Key of the set of survivors."""
        return removals_key(self.ledger_key, self.contained_key)

    @property
    def cuts_key(self) -> str:
        """Key of the cuts of the survivors."""
        return cuts_key(self.settings, self.removals_key)

    @property
    def own_fingerprints(self) -> tuple[DataFile, ...]:
        """The files of our `fingerprints`."""
        return data_files(self.table("fingerprints").files())

    @property
    def reference_fingerprints(self) -> list[DataFile]:
        """The files of `fingerprints` of the reference corpora."""
        return [file for corpus in self.references for file in corpus.files]

    @property
    def fingerprints(self) -> list[DataFile]:
        """The fingerprints of all documents that can be in a cluster, reference corpora first."""
        return [*self.reference_fingerprints, *self.own_fingerprints]
