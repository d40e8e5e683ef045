"""Compiles the kernels of all stages, so that the first run and the first tests find them made.

``make venv`` ends with it: a few made-up documents go through the tasks, without Spark.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.partition_settings import partition_fields
from strata.pipelines.decontamination.items import IndexFile, IndexTask, write_item_index
from strata.pipelines.decontamination.search import ContainmentTask, find_contained
from strata.pipelines.dedup.in_memory import band_tasks, scan_bands
from strata.pipelines.dedup.verify_buckets import ScanTask
from strata.pipelines.evaluation.neighbours import NeighbourTask, find_neighbours
from strata.pipelines.evaluation.sample import AuditSampleTask, Sample, sample_documents
from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.ingest.task import ShardResult, ShardTask, run_shard_task
from strata.pipelines.kernels.banding import choose_banding
from strata.pipelines.kernels.cutting import cut_texts
from strata.pipelines.kernels.shingle_sets import jaccard, shingle_sets
from strata.pipelines.passages.collectors import RunCollector
from strata.pipelines.passages.rows import PassageKind, PassageTask, find_passage_rows
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.pipelines.tokenization.spec import spec_from_json
from strata.pipelines.tokenization.task import TokenTask, run_token_task
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import InputSettings, TokenizeSettings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout

__all__ = ["compile_kernels", "main"]

TEXTS = [f'number {n // 2} of a few "texts", größer als 中文 {n // 2}\n' * 3 for n in range(20)]
TABLES = ("documents", "fingerprints", "rejects", "tokens", "clean")
LAYOUT = ParquetLayout("zstd", 1, 1_000_000, 10_000_000)


def compile_kernels(folder: Path) -> None:
    """Run what the tasks of shard, decontaminate, dedup and tokenize run, on inputs of two formats.

    Args:
        folder: where the inputs and the tables are written.
    """
    _write_inputs(folder)
    folders = {table: Url.parse(folder / table) for table in TABLES}
    by_id = partition_fields("documents", ("bucket(2, id)",))
    layouts = dict.fromkeys(TABLES, LAYOUT) | {"documents": replace(LAYOUT, partition_by=by_id)}
    done = _shard(folder, folders, layouts)
    urls = {table: [file.url for file in done.files if file.table == table] for table in TABLES}
    scan = ScanTask(0.8, Url.parse(folder / "edges"), StorageOptions())
    fingerprints = [DataFile(url) for url in urls["fingerprints"]]
    for share in band_tasks(fingerprints, choose_banding(0.8), scan, 1):
        scan_bands(share)
    _audit(tuple(fingerprints))
    parts = tuple(RowGroups(DataFile(url), (0,)) for url in urls["documents"])
    _search_items(folder, parts)
    trained = train_bpe(pa.array(TEXTS, pa.large_string()), 300)
    spec = spec_from_json(trained, TokenizeSettings(eos=True))
    run_token_task(
        TokenTask(parts, (), (), StorageOptions(), {"tokens": folders["tokens"]}, layouts, 1), spec
    )
    _cut(parts, Url.parse(folder / "cuts"))


def _cut(parts: tuple[RowGroups, ...], folder: Url) -> None:
    for kind in (PassageKind.LINE, PassageKind.PARAGRAPH, PassageKind.ANCHOR, PassageKind.RUN):
        find_passage_rows(PassageTask(parts, (), kind, 8, (), folder, StorageOptions()))
    RunCollector("substring", folder, LAYOUT, 8).collect([], open_store(), "cuts")
    nowhere = np.zeros(0, np.int64)
    cut_texts(pa.array(TEXTS, pa.large_string()), np.zeros(21, np.int64), nowhere, nowhere)


def _audit(fingerprints: tuple[DataFile, ...]) -> None:
    storage = StorageOptions()
    sample = sample_documents(AuditSampleTask(fingerprints, (), (1.0, 1.0), 0, storage))
    find_neighbours(NeighbourTask(fingerprints, (), 0.8, 0, storage), Sample.of(sample))
    sets = shingle_sets(pa.array(TEXTS, pa.large_string()), 5)
    jaccard(sets, np.zeros(1, np.int64), np.zeros(1, np.int64))


def _shard(folder: Path, folders: dict[str, Url], layouts: dict[str, ParquetLayout]) -> ShardResult:
    store = open_store()
    found = list_inputs(store, [InputSettings(path=str(folder / "in*"))]).files
    files = [each.numbered(number) for number, each in enumerate(found)]
    splits = tuple(plan_splits(files, store, 1_000_000))
    return run_shard_task(
        ShardTask(splits, StorageOptions(), folders, layouts, 5, ReadLimits(1_000_000))
    )


def _search_items(folder: Path, parts: tuple[RowGroups, ...]) -> None:
    """Look for the documents in themselves."""
    items = IndexFile(Url.parse(folder / "items.npz"), StorageOptions())
    urls = tuple(part.file.url for part in parts)
    write_item_index(IndexTask((urls,), 8, 8, 0.5, 1_000_000, items))
    target = TableTarget("contained", StorageOptions(), Url.parse(folder / "contained"), LAYOUT)
    find_contained(ContainmentTask(parts, -1, items, ("items",), target))


def _write_inputs(folder: Path) -> None:
    others = {"title": "a", "date": "2023-05-01", "metadata": '{"a": 1}'}
    rows = [
        {"id": str(number), "text": text, "page": number, **others}
        for number, text in enumerate(TEXTS)
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "in.parquet")


def main() -> None:
    """Compile, and leave nothing but the cache of the kernels."""
    with tempfile.TemporaryDirectory(prefix="strata-kernels-") as folder:
        compile_kernels(Path(folder))


if __name__ == "__main__":
    main()
