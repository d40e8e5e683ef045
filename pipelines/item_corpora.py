"""The corpora whose documents are benchmark items, each at one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from strata.errors import InputMissingError, SettingsError
from strata.pipelines.stage import StageContext
from strata.storage.catalog import Corpus
from strata.storage.records import TableSnapshot
from strata.storage.table import CorpusTable

__all__ = ["BenchmarkCorpus", "benchmark_corpora"]


@dataclass(frozen=True, slots=True)
class BenchmarkCorpus:
    """A corpus of items at one snapshot of its `documents`.

    Attributes:
        name: the corpus.
        key: content key of the snapshot; compaction does not change it.
        urls: the files of the snapshot.
    """

    name: str
    key: str
    urls: tuple[str, ...]


def benchmark_corpora(context: StageContext) -> tuple[BenchmarkCorpus, ...]:
    """The corpora that ``dedup.decontaminate`` names, in its order.

    Raises:
        SettingsError: a corpus or snapshot does not exist, is named twice, or is the corpus itself.
        InputMissingError: a corpus holds no documents.
    """
    found: dict[str, BenchmarkCorpus] = {}
    for entry in context.settings.dedup.decontaminate:
        name, _, snapshot = entry.partition("@")
        if name == context.settings.corpus or name in found:
            raise SettingsError(
                f"dedup.decontaminate names the corpus {name}"
                + (" twice" if name in found else ", which is the one to decontaminate"),
                hint="name each corpus of benchmark items once",
            )
        found[name] = _at(context.corpus.sibling(name), snapshot)
    return tuple(found.values())


def _at(other: Corpus, name: str) -> BenchmarkCorpus:
    table = other.table("documents")
    wanted = table.snapshot_id(name) if name else None
    snapshots = table.snapshots()
    files = table.files(wanted)
    chosen = [each for each in snapshots if each.snapshot_id == wanted] or snapshots[-1:]
    if not files:
        raise InputMissingError(
            f"the corpus {other.name} holds no documents that could be benchmark items",
            hint=f"run `strata shard` with the settings of {other.name} first",
        )
    return BenchmarkCorpus(other.name, _key(table, chosen[0]), tuple(file.url for file in files))


def _key(table: CorpusTable, snapshot: TableSnapshot) -> str:
    # Another engine may have written the snapshot: then only its number tells its content.
    return snapshot.content_key or f"{table.name}@{snapshot.snapshot_id}"
