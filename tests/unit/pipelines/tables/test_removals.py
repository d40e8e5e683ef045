import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.execution.data_files import DataFile, RemovedBy, data_files
from strata.pipelines.tables.removals import removed_ids
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter

LAYOUT = ParquetLayout("zstd", 3, 2_000, 1_000_000)


def rows_of(doc_ids, kept):
    count = len(doc_ids)
    columns = {
        "doc_id": pa.array(doc_ids, pa.int64()),
        "kept_id": pa.array(doc_ids, pa.int64()),
        "cluster_size": pa.array([2] * count, pa.int64()),
        "kept": pa.array(kept, pa.bool_()),
        "method": pa.array(["exact"] * count),
        "similarity": pa.array([1.0] * count, pa.float32()),
    }
    schema = SCHEMAS["clusters"]
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


@pytest.fixture
def ledger(settings, store, folder):
    """Ten files of 100 rows, with a gap after each; the documents, and which of them are kept."""
    doc_ids = np.arange(1000) * 3 + np.arange(1000) // 100 * 1000
    kept = np.random.default_rng(1).random(1000) < 0.4
    written = []
    with TableWriter(store, folder / "data", "clusters", LAYOUT, "test") as writer:
        for start in range(0, 1000, 100):
            writer.write(rows_of(doc_ids[start : start + 100], kept[start : start + 100]))
            writer.roll()
        written = writer.close()
    with open_corpus(settings) as corpus:
        table = corpus.table("clusters")
        publish(table, written, mode=PublishMode.OVERWRITE, content_key="k", run_id="r")
        return data_files(table.files(), reason=RemovedBy.CLUSTERS), doc_ids, kept


def test_removed_any_range_equals_the_whole_ledger_filtered(ledger, store):
    files, doc_ids, kept = ledger
    assert len(files) == 10
    rng = np.random.default_rng(2)
    ranges = [sorted(rng.integers(-10, 13_000, 2).tolist()) for _ in range(25)]
    ranges += [[0, 0], [3, 3], [0, 2**62], [298, 299], [-5, -1], [doc_ids[-1], doc_ids[-1]]]
    for low, high in ranges:
        inside = (doc_ids >= low) & (doc_ids <= high) & ~kept
        assert removed_ids(files, low, high, store).tolist() == doc_ids[inside].tolist()


def test_removed_files_outside_of_the_range_are_not_opened(ledger, store):
    files, doc_ids, kept = ledger
    gone = [DataFile("file:///nowhere", f.min_doc_id, f.max_doc_id) for f in files[1:]]
    found = removed_ids([files[0], *gone], 0, files[0].max_doc_id, store)
    assert found.tolist() == doc_ids[:100][~kept[:100]].tolist()


def test_removed_without_a_ledger_is_nothing(store):
    found = removed_ids([], 0, 2**62, store)
    assert found.tolist() == []
    assert found.dtype == np.int64
