import numpy as np
import pyarrow as pa
import pytest

from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import CLUSTERS, DOCUMENTS
from strata.storage.reading.row_lookup import find_rows
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter

SMALL_GROUPS = ParquetLayout("zstd", 1, row_group_bytes=40_000, target_file_bytes=10**9)


def documents(doc_ids, text_bytes=500):
    rng = np.random.default_rng(1)
    rows = [
        {
            "doc_id": doc_id,
            "id": str(doc_id),
            "text": rng.bytes(text_bytes // 2).hex(),
            "source": "web",
            "n_bytes": text_bytes,
            "content_hash": bytes(16),
        }
        for doc_id in doc_ids
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


def write(folder, batch, table="documents"):
    store = FsspecStore()
    with TableWriter(store, folder, table, SMALL_GROUPS, "t") as writer:
        writer.write(batch)
    (file,) = writer.close()
    assert file.metadata.num_row_groups > 5
    return store, Url.parse(file.url)


def ids_of(batches, key="doc_id"):
    return [value for batch in batches for value in batch[key].to_pylist()]


@pytest.mark.parametrize("seed", range(8))
def test_find_rows_of_random_ids_equals_a_filter(tmp_path, seed):
    rng = np.random.default_rng(seed)
    held = np.unique(rng.integers(0, 2**62, 600))
    wanted = np.unique(np.concatenate([rng.choice(held, 9), rng.integers(0, 2**62, 9)]))
    batch = documents(held.tolist())
    store, url = write(Url.parse(tmp_path), batch)
    found = list(find_rows(store, url, "doc_id", ["text", "doc_id"], wanted))
    expected = batch.filter(pa.array(np.isin(held, wanted))).select(["text", "doc_id"])
    assert pa.Table.from_batches(found).to_pylist() == expected.to_pylist()
    assert ids_of(found) == sorted(set(held.tolist()) & set(wanted.tolist()))


def test_find_rows_by_another_key_finds_all_that_share_it(tmp_path):
    rows = [
        {
            "doc_id": number,
            "kept_id": number // 10,
            "cluster_size": 10,
            "kept": False,
            "method": "exact",
            "similarity": 1.0,
        }
        for number in range(20_000)
    ]
    store, url = write(
        Url.parse(tmp_path), pa.RecordBatch.from_pylist(rows, schema=CLUSTERS), "clusters"
    )
    found = find_rows(store, url, "kept_id", ["doc_id"], np.array([3, 1999, 5000]))
    assert ids_of(found) == [*range(30, 40), *range(19_990, 20_000)]


def test_find_rows_reads_the_text_of_one_row_group_only(tmp_path):
    store, url = write(Url.parse(tmp_path), documents(range(0, 12_000, 2)))
    metered = MeteredStore(store)
    assert ids_of(find_rows(metered, url, "doc_id", ["doc_id", "text"], np.array([2000]))) == [2000]
    whole = store.info(url).size
    tail = 262_144
    assert whole > 3 * tail
    assert metered.meter.bytes_read < tail + whole / 5


@pytest.mark.parametrize("wanted", [[], [1], [-5, 2**62]])
def test_find_rows_that_are_not_there_are_none_and_no_text_is_read(tmp_path, wanted):
    store, url = write(Url.parse(tmp_path), documents(range(0, 4000, 2)))
    metered = MeteredStore(store)
    found = find_rows(metered, url, "doc_id", ["doc_id", "text"], np.array(wanted, np.int64))
    assert list(found) == []
    assert metered.meter.bytes_read < 300_000
