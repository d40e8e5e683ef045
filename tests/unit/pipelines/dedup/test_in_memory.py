"""Buckets found in memory are those of the shuffle, however many tasks share the bands."""

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.band_rows import ROW_SCHEMA, RowTask, band_rows
from strata.pipelines.dedup.in_memory import MAX_TASKS, band_tasks, scan_bands
from strata.pipelines.dedup.verify_buckets import ScanTask, read_edges, scan_partition
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.kernels.banding import Banding
from strata.storage.contracts.options import StorageOptions
from tests.support.corpora.fingerprints import fingerprints

BANDING = Banding(9, 3)


def texts_with_copies(seed):
    """Short texts, many of them copies with a changed word, some equal, some without a word."""
    rng = np.random.default_rng(seed)
    texts = []
    for number in range(40):
        words = [f"w{place}" for place in rng.integers(0, 5000, 60)]
        texts.append(" ".join(words))
        for _ in range(int(rng.integers(0, 4))):
            copy = list(words)
            copy[int(rng.integers(0, 60))] = f"changed{number}"
            texts.append(" ".join(copy if rng.random() < 0.7 else words))
    return [*texts, "...", "...", "!", ""]


@pytest.fixture(params=[1, 2])
def files(request, store, folder):
    texts = texts_with_copies(request.param)
    ids = [f"id{number % 50}" for number in range(len(texts))]
    middle = len(texts) // 2
    # The file with the later documents comes first, as after a compaction.
    later, _ = fingerprints(store, folder, texts[middle:], ids[middle:], first=1000 + middle)
    earlier, _ = fingerprints(store, folder, texts[:middle], ids[:middle], first=1000)
    return (DataFile(later), DataFile(earlier))


def edges_of(store, results):
    rows = read_edges(store, results).to_pylist()
    return sorted({tuple(row.values()) for row in rows})


def shuffled(store, files, scan):
    table = pa.Table.from_batches(band_rows(RowTask(files, BANDING), store, None), ROW_SCHEMA)
    ordered = table.sort_by([("key", "ascending"), ("doc_id", "ascending")]).combine_chunks()
    return scan_partition(ordered.to_batches(), scan)


@pytest.mark.parametrize("parallelism", [1, 2, 5, 100])
def test_share_any_number_of_tasks_finds_the_edges_of_the_shuffle(
    store, folder, files, parallelism
):
    scan = ScanTask(0.8, folder, StorageOptions({}))
    tasks = band_tasks(files, BANDING, scan, parallelism)

    results = [scan_bands(task) for task in tasks]

    expected = shuffled(store, files, scan)
    assert expected.edges > 20
    assert edges_of(store, results) == edges_of(store, [expected])
    assert sum(result.documents for result in results) == expected.documents
    assert sum(result.rows for result in results) == expected.rows
    assert sum(result.same_id for result in results) == expected.same_id > 0
    assert len(tasks) == min(parallelism, MAX_TASKS)


def test_share_no_fingerprints_no_tasks(folder):
    assert band_tasks([], BANDING, ScanTask(0.8, folder, StorageOptions({})), 2) == []


def test_share_file_without_rows_no_edges(store, folder):
    url, _ = fingerprints(store, folder, ["..."], ["a"])
    (task,) = band_tasks([DataFile(url)], BANDING, ScanTask(0.8, folder, StorageOptions({})), 1)

    result = scan_bands(task)

    assert (result.edges, result.documents, result.rows) == (0, 1, 2)
