import gzip
import json
import pickle
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from strata.pipelines.ingest.task import ShardTask, run_shard_task
from strata.pipelines.kernels.minhash import sketch
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.pipelines.stages.shard import run_shard
from strata.settings import InputSettings, Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.writing.parquet import ParquetLayout
from tests.support.corpora.texts import json_lines, library_texts, write_shards
from tests.support.rows import rows_of, rows_of_files
from tests.support.sequential import sequential_context

TEXTS = library_texts(12, most_bytes=8000)
LAYOUT = ParquetLayout("zstd", 3, 100_000, 10_000_000)
TABLES = ("documents", "fingerprints", "rejects")


def task_of(store, folder, split_bytes=10**9):
    found = list_inputs(store, [InputSettings(path=str(folder / "in"))]).files
    files = [file.numbered(number) for number, file in enumerate(found)]
    return ShardTask(
        splits=tuple(plan_splits(files, store, split_bytes)),
        storage=StorageOptions({}),
        folders={table: folder / "out" / table for table in TABLES},
        layouts=dict.fromkeys(TABLES, LAYOUT),
        ngram=5,
        limits=ReadLimits(1_000_000),
    )


def cut_file(folder):
    whole = gzip.compress(json_lines(TEXTS * 3, 500))
    (folder / "part-9.jsonl.gz").write_bytes(whole[: len(whole) // 2])


def test_task_documents_carry_their_place_their_bytes_and_their_hash(store, folder, tmp_path):
    write_shards(tmp_path / "in", TEXTS, 3)
    task = pickle.loads(pickle.dumps(task_of(store, folder)))
    result = run_shard_task(task)
    rows = rows_of_files(store, result.files, "documents")
    assert [row["text"] for row in rows] == TEXTS
    assert [row["id"] for row in rows] == [f"doc-{n}" for n in range(len(TEXTS))]
    for row in rows:
        data = row["text"].encode()
        assert row["n_bytes"] == len(data)
        halves = [xxhash.xxh64(data, seed).intdigest().to_bytes(8, "little") for seed in (0, 1)]
        assert row["content_hash"] == b"".join(halves)
    assert Counter(row["doc_id"] >> 37 for row in rows) == {0: 4, 1: 4, 2: 4}
    assert result.counters.text_bytes == sum(len(text.encode()) for text in TEXTS)
    assert result.counters.files_written == len(result.files) == 2


def test_task_fingerprints_are_those_of_the_kernels(store, folder, tmp_path):
    write_shards(tmp_path / "in", TEXTS, 2)
    result = run_shard_task(task_of(store, folder))
    rows = rows_of_files(store, result.files, "fingerprints")
    documents = rows_of_files(store, result.files, "documents")
    sketches = sketch(pa.array(TEXTS, pa.large_string()), 5)
    for row, document, number in zip(rows, documents, range(len(TEXTS)), strict=True):
        for name in ("doc_id", "source", "n_bytes", "content_hash"):
            assert row[name] == document[name]
        assert row["n_shingles"] == sketches.n_shingles[number]
        assert row["signature"] == sketches.signature[number].tobytes()
        unsigned = xxhash.xxh64(document["id"].encode(), 0).intdigest()
        assert np.uint64(row["id_hash"] % 2**64) == unsigned


@pytest.mark.parametrize("split_bytes", [500, 4_000, 30_000])
def test_task_splits_do_not_change_the_rows(store, folder, tmp_path, split_bytes):
    write_shards(tmp_path / "in", TEXTS, 2)
    whole = run_shard_task(task_of(store, folder))
    cut = run_shard_task(task_of(store, folder, split_bytes))
    for table in TABLES:
        assert rows_of_files(store, cut.files, table) == rows_of_files(store, whole.files, table)
    assert {n: vars_of(c) for n, c in cut.inputs.items()} == {
        n: vars_of(c) for n, c in whole.inputs.items()
    }


def vars_of(count):
    return (count.records, count.documents, count.rejected)


def test_task_bad_records_are_rejected_and_counted(store, folder, tmp_path):
    (tmp_path / "in").mkdir()
    lines = [b'{"text": "good"}', b"{bad", b'{"text": ""}', b'{"text": 5}', b'{"text": "fine"}']
    (tmp_path / "in" / "a.jsonl").write_bytes(b"\n".join(lines))
    result = run_shard_task(task_of(store, folder))
    assert [row["text"] for row in rows_of_files(store, result.files, "documents")] == [
        "good",
        "fine",
    ]
    reasons = ["invalid_json", "empty_text", "text_not_string"]
    rejects = rows_of_files(store, result.files, "rejects")
    assert [row["reason"] for row in rejects] == reasons
    assert [row["position"] for row in rejects] == [17, 22, 35]
    assert vars_of(result.inputs[0]) == (5, 2, dict.fromkeys(reasons, 1))
    # An empty text is nothing lost, so it is no example of what went wrong.
    samples = [sample.reason for sample in result.samples]
    assert samples == [RejectReason.INVALID_JSON, RejectReason.TEXT_NOT_STRING]


def test_task_only_bad_records_writes_only_rejects(store, folder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b"{bad\n" * 50)
    result = run_shard_task(task_of(store, folder))
    assert {file.table for file in result.files} == {"rejects"}
    assert len(rows_of_files(store, result.files, "rejects")) == 50
    assert len(result.samples) == 5


def test_task_empty_file_has_no_records_and_writes_nothing(store, folder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b"")
    result = run_shard_task(task_of(store, folder))
    assert (result.files, vars_of(result.inputs[0])) == ([], (0, 0, {}))


def test_task_with_a_broken_file_keeps_nothing_and_names_it(store, folder, tmp_path):
    write_shards(tmp_path / "in", TEXTS, 3)
    cut_file(tmp_path / "in")
    task = task_of(store, folder)
    result = run_shard_task(task)
    assert list(result.broken) == [3]
    assert result.broken[3].reason is RejectReason.TRUNCATED_FILE
    assert result.files == []
    assert store.find(folder / "out") == []
    again = run_shard_task(task.without(frozenset(result.broken)))
    assert [row["text"] for row in rows_of_files(store, again.files, "documents")] == TEXTS


def test_task_one_round_finds_all_broken_files(store, folder, tmp_path):
    write_shards(tmp_path / "in", TEXTS, 3)
    cut_file(tmp_path / "in")
    (tmp_path / "in" / "part-0a.parquet").write_bytes(b"PAR1 nothing PAR1")
    (tmp_path / "in" / "part-8.jsonl.zst").write_bytes(b"no zstandard")
    assert len(run_shard_task(task_of(store, folder)).broken) == 3


def shard_context(tmp_path, **shard):
    # Several small tasks, so that a broken file has neighbours in its own task.
    given = {"max_reject_ratio": 0.99, "split_mb": 0.004, "target_file_mb": 0.004} | shard
    settings = Settings(
        corpus="web",
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(tmp_path / "in")}],
        shard=given,
    )
    return sequential_context(settings)


def test_shard_broken_file_costs_only_its_own_documents(tmp_path):
    write_shards(tmp_path / "in", TEXTS, 3)
    cut_file(tmp_path / "in")
    # Broken in the second of its row groups: the first one is read by another split.
    broken = pa.table({"text": TEXTS, "id": [f"p-{n}" for n in range(len(TEXTS))]})
    sink = tmp_path / "in" / "part-1a.parquet"
    pa.parquet.write_table(broken, sink, row_group_size=4, compression="none", use_dictionary=False)
    data = bytearray(sink.read_bytes())
    middle = pa.parquet.ParquetFile(sink).metadata.row_group(1).column(0).data_page_offset
    data[middle : middle + 12] = b"\xff" * 12
    sink.write_bytes(data)
    context = shard_context(tmp_path)
    report = run_shard(context)
    assert report.details.broken_files == 2
    rows = rows_of(context, "documents", ["id", "text"])
    assert sorted(row["text"] for row in rows) == sorted(TEXTS)
    assert report.rows_in == len(TEXTS) + 2
    rejects = rows_of(context, "rejects", ["uri", "reason"])
    assert sorted(row["uri"].rpartition("/")[2] for row in rejects) == [
        "part-1a.parquet",
        "part-9.jsonl.gz",
    ]
    status = [row["status"] for row in rows_of(context, "inputs", ["status"])]
    assert sorted(status) == ["broken", "broken", "read", "read", "read"]


def test_shard_only_the_published_files_are_left_in_the_folders(tmp_path):
    write_shards(tmp_path / "in", TEXTS, 3)
    cut_file(tmp_path / "in")
    context = shard_context(tmp_path)
    run_shard(context)
    for table in (*TABLES, "inputs"):
        live = {file.url for file in context.corpus.table(table).files()}
        folder = Url.parse(tmp_path / "wh") / "web" / table / "data"
        assert {str(info.url) for info in context.store.find(folder)} == live


def test_shard_files_of_documents_are_within_a_factor_of_two(tmp_path):
    pieces = [text[n : n + 900] for text in TEXTS for n in range(0, len(text) - 100, 900)] * 4
    write_shards(tmp_path / "in", pieces, 5)
    context = shard_context(tmp_path, split_mb=0.02, target_file_mb=0.02)
    run_shard(context)
    sizes = [file.n_bytes for file in context.corpus.table("documents").files()]
    assert len(sizes) > 3
    assert max(sizes) <= 2 * min(sizes)
    assert sum(file.rows for file in context.corpus.table("documents").files()) == len(pieces)


def test_shard_second_run_reads_only_new_files(tmp_path):
    write_shards(tmp_path / "in", TEXTS[:6], 2)
    run_shard(shard_context(tmp_path))
    (tmp_path / "in" / "later.jsonl").write_bytes(json_lines(TEXTS[6:], 6))
    report = run_shard(shard_context(tmp_path))
    assert (report.rows_in, report.details.mode) == (6, "append")
    rows = rows_of(shard_context(tmp_path), "documents", ["id", "doc_id"])
    assert sorted(int(row["id"][4:]) for row in rows) == list(range(12))
    assert {row["doc_id"] >> 37 for row in rows if int(row["id"][4:]) >= 6} == {2}
    assert json.dumps(report.details_by_name())
