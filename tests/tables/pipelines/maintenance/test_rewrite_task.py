import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import BalanceError, MachineError
from strata.pipelines.kernels.content_hash import content_hash
from strata.pipelines.maintenance.rewrite_task import (
    RewriteTask,
    SourceFile,
    balance,
    run_rewrite_task,
    run_verified_rewrite,
)
from strata.storage.checksums.rows import CHECKSUM_KEY, RowsChecksum
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.corpora.texts import library_texts

LAYOUT = ParquetLayout("zstd", 3, 200_000, 10_000_000)
TEXTS = [text[start : start + 3000] for text in library_texts(110) for start in (0, 3000)]


def sized(sizes):
    return [SourceFile(f"file:///{n}", 100, int(size)) for n, size in enumerate(sizes)]


def random_sizes(rng):
    count = int(rng.integers(1, 60))
    big, small = rng.integers(900_000, 1_000_000, count), rng.integers(100, 600_000, count)
    return [
        rng.integers(1, 1_000_000, count),
        (1_000_000 * np.exp(-rng.exponential(1, count))).astype(int) + 1,
        np.where(rng.random(count) < 0.5, big, small),
        np.where(rng.random(count) < 0.9, big, small),
    ][int(rng.integers(0, 4))]


def documents(texts, first):
    text = pa.array(texts, pa.large_string())
    schema = SCHEMAS["documents"]
    columns = {
        "doc_id": pa.array(np.arange(first, first + len(texts))),
        "id": pa.array([str(first + n) for n in range(len(texts))]),
        "text": text,
        "source": pa.array(["s"] * len(texts)),
        "n_bytes": pa.array([len(each.encode()) for each in texts], pa.int64()),
        "content_hash": content_hash(text),
    }
    arrays = [columns.get(f.name, pa.nulls(len(texts), f.type)) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def mixed(texts, seed):
    """The texts with their words in another order: as long, and no repetition of one another."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation(text.split(" "))) for text in texts]


def write(store, folder, counts):
    """Files of so many documents of real text each."""
    texts, first, files = [*TEXTS, *mixed(TEXTS, 1), *mixed(TEXTS, 2)], 0, []
    for count in counts:
        with TableWriter(store, folder, "documents", LAYOUT, "part") as writer:
            writer.write(documents(texts[first : first + count], first))
            (file,) = writer.close()
        files.append(SourceFile(file.url, file.rows, file.n_bytes))
        first += count
    return files


def rewrite(files, pieces, folder, layout=LAYOUT):
    task = RewriteTask(
        "test", "documents", tuple(files), pieces, folder, layout, StorageOptions({})
    )
    return run_rewrite_task(task)


def table_of(store, urls):
    columns = SCHEMAS["documents"].names
    return pa.Table.from_batches(
        [b for url in urls for b in read_batches(store, Url.parse(url), columns, None, 10**6)]
    )


def test_balance_any_sizes_end_within_a_factor_of_two():
    for seed in range(3000):
        files = sized(random_sizes(np.random.default_rng(seed)))
        groups = balance(files)
        taken = [file.url for group, _ in groups for file in group]
        assert len(taken) == len(set(taken))
        after = [file.n_bytes for file in files if file.url not in taken]
        largest = max(file.n_bytes for file in files)
        for group, pieces in groups:
            assert sorted(group, key=files.index) == list(group)
            after += [sum(file.n_bytes for file in group) / pieces] * pieces
        assert max(after) <= 1.7 * min(after)
        assert max(after) <= largest


@pytest.mark.parametrize(
    "sizes", [[], [5], [100, 100], [100, 61], [100, 99, 98, 60], [1_000_000] * 50]
)
def test_balance_even_files_are_left_alone(sizes):
    assert balance(sized(sizes)) == []


def test_balance_one_crumb_takes_the_smallest_neighbour_along():
    files = sized([100, 90, 80, 1])
    assert balance(files) == [((files[2], files[3]), 1)]


def test_balance_only_a_large_file_and_a_crumb_become_two_halves():
    files = sized([100, 10])
    assert balance(files) == [(tuple(files), 2)]


def test_balance_many_small_files_are_the_work_of_many_tasks():
    groups = balance(sized([100] * 10 + [20] * 1000))
    assert sum(len(group) for group, _ in groups) == 1000
    assert len(groups) == 50
    assert {pieces for _, pieces in groups} == {4}


@pytest.mark.parametrize(
    ("counts", "pieces"), [([20, 50, 10, 60, 15], 3), ([155], 2), ([30] * 5, 1), ([100, 3], 2)]
)
def test_rewrite_real_text_gives_pieces_of_about_equal_size(store, folder, counts, pieces):
    files = write(store, folder / "old", counts)
    result = rewrite(files, pieces, folder / "new")
    sizes = [file.n_bytes for file in result.files]
    assert len(sizes) == pieces
    assert max(sizes) <= 1.35 * min(sizes)
    before, after = (table_of(store, [f.url for f in some]) for some in (files, result.files))
    assert after.equals(before)
    assert result.sources == tuple(files)
    assert result.counters.files_written == pieces


def test_rewrite_what_balance_chose_ends_within_a_factor_of_two(store, folder):
    for seed in range(4):
        counts = np.random.default_rng(seed).integers(2, 90, 7)
        files = write(store, folder / str(seed), counts)
        after = {file.url: file.n_bytes for file in files}
        for number, (group, pieces) in enumerate(balance(files)):
            result = rewrite(group, pieces, folder / str(seed) / f"new{number}")
            after = {url: size for url, size in after.items() if url not in {f.url for f in group}}
            after |= {file.url: file.n_bytes for file in result.files}
        assert max(after.values()) <= 2 * min(after.values())


def test_rewrite_other_codec_keeps_rows_and_names_the_codec(store, folder):
    files = write(store, folder / "old", [40])
    layout = ParquetLayout("gzip", 6, 200_000, 10_000_000)
    (file,) = rewrite(files, 1, folder / "new", layout).files
    assert file.url.endswith(".gzip-6.parquet")
    assert table_of(store, [file.url]).equals(table_of(store, [files[0].url]))


def test_rewrite_fewer_rows_than_pieces_gives_a_file_a_row(store, folder):
    files = write(store, folder / "old", [2])
    result = rewrite(files, 5, folder / "new")
    assert [file.rows for file in result.files] == [1, 1]


@pytest.mark.parametrize("rows", [39, 41])
def test_rewrite_other_number_of_rows_than_promised_leaves_nothing(store, folder, rows):
    (file,) = write(store, folder / "old", [40])
    wrong = SourceFile(file.url, rows, file.n_bytes)
    with pytest.raises(BalanceError, match=f"{rows} rows expected, 40 read .*storage verify"):
        rewrite([wrong], 2, folder / "new")
    assert store.find(folder / "new") == []


def test_verified_rewrite_that_cannot_clean_up_tells_its_first_error(folder, store, monkeypatch):
    (file,) = write(store, folder / "old", [5])
    # Its footer holds the checksum of other rows, so that the rewrite is refused.
    promise = {CHECKSUM_KEY: RowsChecksum().to_text()}
    rows = table_of(store, [file.url]).replace_schema_metadata(promise)
    data = pa.BufferOutputStream()
    pq.write_table(rows, data)
    store.write_bytes(Url.parse(file.url), data.getvalue().to_pybytes())
    task = RewriteTask("test", "documents", (file,), 1, folder / "new", LAYOUT, StorageOptions({}))

    def read_only(*_):
        raise MachineError("read-only")

    monkeypatch.setattr(FsspecStore, "delete", read_only)
    with pytest.raises(BalanceError, match="other rows"):
        run_verified_rewrite(task)
