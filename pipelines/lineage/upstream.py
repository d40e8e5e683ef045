"""What a stage stands on, resolved once when it begins and handed down from there.

Tags move, tables are published to and corpora are dropped while a stage works for hours. So the
catalog is asked for each table once; whatever the stage then asks, it gets the answer of that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strata.pipelines.execution.data_files import DataFile
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

# The tables that the keys and the readers of each stage ask for.
_OF_DEDUP = ("documents", "fingerprints", "inputs", "edges", "clusters", "contained", "cuts")
_OF_TOKENIZE = (*("documents", "fingerprints", "clusters", "contained", "cuts"), "clean", "tokens")
_OF_SURVIVORS = ("documents", "clusters", "contained", "cuts")
_OF_RETRACTION = ("documents", "edges", "clusters", "contained", "clean", "tokens", "fingerprints")


@dataclass(frozen=True, slots=True)
class Upstream:
    """Tables, settings and other corpora at one moment, and the keys of what they give.

    Attributes:
        documents_key: content key of `documents`.
        settings: ``[dedup]``, which decides what is removed and cut.
        tables: the tables of the corpus that the stage reads.
        references: the corpora that it is compared with, each at one snapshot.
        benchmarks: the corpora of benchmark items, each at one snapshot.
    """

    documents_key: str
    settings: DedupSettings
    tables: TableStates
    references: tuple[ReferenceCorpus, ...]
    benchmarks: tuple[BenchmarkCorpus, ...]

    @classmethod
    def of_dedup(cls, context: StageContext) -> Upstream:
        """What edges, the ledger and the cuts stand on.

        Raises:
            SettingsError: another corpus that the settings name does not exist.
            InputMissingError: it holds nothing.
            ConflictError: it cannot be compared with this one.
        """
        return cls._resolve(context, _OF_DEDUP)

    @classmethod
    def of_tokenize(cls, context: StageContext) -> Upstream:
        """What the tokens stand on; raises what `of_dedup` raises."""
        return cls._resolve(context, _OF_TOKENIZE)

    @classmethod
    def of_survivors(cls, context: StageContext) -> Upstream:
        """What tells the survivors of `documents`; raises what `of_dedup` raises."""
        return cls._resolve(context, _OF_SURVIVORS)

    @classmethod
    def of_retraction(cls, context: StageContext) -> Upstream:
        """What tells which tables are current; raises what `of_dedup` raises."""
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
        """The same with other documents, by their key."""
        return replace(self, documents_key=key)

    @property
    def search_key(self) -> str:
        """Key of what decides the edges, but for the documents."""
        return search_key(self.settings, self.references)

    @property
    def edges_key(self) -> str:
        """Key of the edges of the documents."""
        return edges_key(self.documents_key, self.search_key)

    @property
    def ledger_settings_key(self) -> str:
        """Key of what decides the ledger, but for the documents."""
        return ledger_settings_key(self.search_key, self.settings)

    @property
    def ledger_key(self) -> str:
        """Key of the ledger of the documents."""
        return ledger_key(self.edges_key, self.settings)

    @property
    def item_key(self) -> str:
        """Key of what decides the rows of `contained`, but for the documents."""
        return item_key(self.settings, self.benchmarks)

    @property
    def contained_key(self) -> str:
        """Key of the rows of `contained`."""
        return contained_key(self.documents_key, self.settings, self.benchmarks)

    @property
    def removals_key(self) -> str:
        """Key of the set of documents that remains."""
        return removals_key(self.ledger_key, self.contained_key)

    @property
    def cuts_key(self) -> str:
        """Key of the cuts in the documents that remain."""
        return cuts_key(self.settings, self.removals_key)

    @property
    def own_fingerprints(self) -> list[DataFile]:
        """The files of our `fingerprints`."""
        return [DataFile.of(file) for file in self.table("fingerprints").files()]

    @property
    def reference_fingerprints(self) -> list[DataFile]:
        """Those of the corpora that ours is compared with."""
        return [file for corpus in self.references for file in corpus.files]

    @property
    def fingerprints(self) -> list[DataFile]:
        """Those of all documents that can be in a cluster, other corpora first."""
        return [*self.reference_fingerprints, *self.own_fingerprints]
