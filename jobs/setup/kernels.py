"""Compiles the kernels of all stages, so that the first run and the first tests find them compiled.

It is the last step of ``make venv``: a few made-up documents go through the tasks, without Spark,
in as many processes as there are cores.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.jobs.session.shipping import packages
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
from strata.pipelines.tokenization.long_pieces import cut_long_pieces
from strata.pipelines.tokenization.spec import spec_from_json
from strata.pipelines.tokenization.task import TokenTask, run_token_task
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import InputSettings, TokenizeSettings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout

__all__ = ["compile_kernels", "drop_compiled", "main"]

TEXTS = [f'number {n // 2} of a few "texts", größer als 中文 {n // 2}\n' * 3 for n in range(20)]
TABLES = ("documents", "fingerprints", "rejects", "tokens", "clean")
LAYOUT = ParquetLayout("zstd", 1, 1_000_000, 10_000_000)


def compile_kernels(folder: Path, pool: Executor) -> None:
    """Run what the tasks of shard, decontaminate, dedup and tokenize run, on inputs of two formats.

    The kernels of JSON lines take as long as all others of shard together, so each of the two sets
    gets a task of its own.

    Args:
        folder: where the inputs and the tables are written.
        pool: where they run.
    """
    _write_inputs(folder)
    lines = pool.submit(_shard, folder / "in.jsonl", folder / "lines")
    done = pool.submit(_shard, folder / "in.parquet", folder / "rows").result()
    for each in [pool.submit(work, folder, done) for work in WORKS]:
        each.result()
    lines.result()


def _layouts() -> dict[str, ParquetLayout]:
    by_id = partition_fields("documents", ("bucket(2, id)",))
    return dict.fromkeys(TABLES, LAYOUT) | {"documents": replace(LAYOUT, partition_by=by_id)}


def _shard(inputs: Path, folder: Path) -> ShardResult:
    store = open_store()
    found = list_inputs(store, [InputSettings(path=str(inputs))]).files
    files = [each.numbered(number) for number, each in enumerate(found)]
    splits = tuple(plan_splits(files, store, 1_000_000))
    folders = {table: Url.parse(folder / table) for table in TABLES}
    return run_shard_task(
        ShardTask(splits, StorageOptions(), folders, _layouts(), 5, ReadLimits(1_000_000))
    )


def _urls(done: ShardResult, table: str) -> list[str]:
    return [file.url for file in done.files if file.table == table]


def _parts(done: ShardResult) -> tuple[RowGroups, ...]:
    return tuple(RowGroups(DataFile(url), (0,)) for url in _urls(done, "documents"))


def _cut(folder: Path, done: ShardResult) -> None:
    cuts = Url.parse(folder / "cuts")
    for kind in (PassageKind.LINE, PassageKind.PARAGRAPH, PassageKind.ANCHOR, PassageKind.RUN):
        find_passage_rows(PassageTask(_parts(done), (), kind, 8, (), cuts, StorageOptions()))
    RunCollector("substring", cuts, LAYOUT, 8).collect([], open_store(), "cuts")
    nowhere = np.zeros(0, np.int64)
    cut_texts(pa.array(TEXTS, pa.large_string()), np.zeros(21, np.int64), nowhere, nowhere)


def _search_items(folder: Path, done: ShardResult) -> None:
    """Search the documents for themselves as benchmark items."""
    items = IndexFile(Url.parse(folder / "items.npz"), StorageOptions())
    parts = _parts(done)
    urls = tuple(part.file.url for part in parts)
    write_item_index(IndexTask((urls,), 8, 8, 0.5, 1_000_000, items))
    target = TableTarget("contained", StorageOptions(), Url.parse(folder / "contained"), LAYOUT)
    find_contained(ContainmentTask(parts, -1, items, ("items",), target))


def _tokenize(folder: Path, done: ShardResult) -> None:
    texts = pa.array([*TEXTS, "a" * 1_000], pa.large_string())
    trained = train_bpe(cut_long_pieces(texts).texts, 300)
    spec = spec_from_json(trained, TokenizeSettings(eos=True))
    tokens = {"tokens": Url.parse(folder / "tokens")}
    task = TokenTask(_parts(done), (), (), StorageOptions(), tokens, _layouts(), 1)
    run_token_task(task, spec)


def _dedup(folder: Path, done: ShardResult) -> None:
    scan = ScanTask(0.8, Url.parse(folder / "edges"), StorageOptions())
    fingerprints = tuple(DataFile(url) for url in _urls(done, "fingerprints"))
    for share in band_tasks(list(fingerprints), choose_banding(0.8), scan, 1):
        scan_bands(share)
    storage = StorageOptions()
    sample = sample_documents(AuditSampleTask(fingerprints, (), (1.0, 1.0), 0, storage))
    find_neighbours(NeighbourTask(fingerprints, (), 0.8, 0, storage), Sample.of(sample))
    sets = shingle_sets(pa.array(TEXTS, pa.large_string()), 5)
    jaccard(sets, np.zeros(1, np.int64), np.zeros(1, np.int64))


# The longest first.
WORKS: tuple[Callable[[Path, ShardResult], None], ...] = (_cut, _search_items, _tokenize, _dedup)


def _write_inputs(folder: Path) -> None:
    others = {"title": "a", "metadata": '{"a": 1}'}
    rows = [
        {"id": str(number), "text": text, "page": number, **others}
        for number, text in enumerate(TEXTS)
    ]
    # Dates in one of the two, so that their kernels are compiled once.
    dated = [row | {"date": "2023-05-01"} for row in rows]
    lines = [json.dumps(row, ensure_ascii=False) for row in dated]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), folder / "in.parquet")


def drop_compiled(package: Path) -> None:
    """Remove the compiled kernels below a folder.

    Numba compiles a kernel again when its own file changes, but not when one that it calls has
    changed or moved.
    """
    for file in package.rglob("__pycache__/*.nb[ic]"):
        file.unlink()


def main() -> None:
    """Compile, leaving behind nothing but the cache of the kernels."""
    for package in packages().values():
        drop_compiled(package)
    # Forked workers have what this module has imported, and the kernels that an import compiles.
    fork = multiprocessing.get_context("fork")
    workers = min(os.cpu_count() or 1, len(WORKS))
    with (
        tempfile.TemporaryDirectory(prefix="strata-kernels-") as folder,
        ProcessPoolExecutor(workers, fork) as pool,
    ):
        compile_kernels(Path(folder), pool)


if __name__ == "__main__":
    main()
