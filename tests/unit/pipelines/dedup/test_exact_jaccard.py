"""Sets behind a shuffle give the exact similarities, however the rows are cut into batches."""

import numpy as np
import pyarrow as pa
import pytest

from strata.errors import ConflictError
from strata.pipelines.dedup.exact_jaccard import MAX_HASHES, compared_rows, located, set_rows
from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA
from strata.pipelines.dedup.verify_texts import verified_on_driver
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.texts import own_texts
from strata.settings import DedupSettings, Settings
from tests.support.corpora.texts import json_lines
from tests.support.oracles.shingles import jaccard_of
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

NGRAM = 3


def family(rng, copies):
    words = [f"w{place}" for place in rng.integers(0, 9000, 150)]
    texts = [" ".join(words)]
    for _ in range(copies):
        copy = list(words)
        for place in rng.integers(0, 150, int(rng.integers(0, 20))):
            copy[place] = f"x{rng.integers(0, 9000)}"
        texts.append(" ".join(copy[: int(rng.integers(100, 151))]))
    return texts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    (folder / "in").mkdir()
    rng = np.random.default_rng(8)
    texts = [text for _ in range(12) for text in family(rng, 4)]
    for part in range(3):
        data = json_lines(texts[part::3], part * 1000)
        (folder / "in" / f"part-{part}.jsonl").write_bytes(data)
    settings = Settings(
        corpus="web",
        warehouse=str(folder / "wh"),
        inputs=[{"path": str(folder / "in")}],
        shard={"landing": "small", "split_mb": 0.01},
        tiers={"small": {"url": str(folder / "small"), "row_group_mb": 0.005}},
    )
    context = sequential_context(settings)
    run_shard(context)
    return context


@pytest.fixture(scope="module")
def texts(corpus):
    rows = rows_of(corpus, "documents", ["doc_id", "text"])
    return {row["doc_id"]: row["text"] for row in rows}


def cut(table, rows, *keys):
    ordered = table.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    return iter(ordered.to_batches(max_chunksize=rows))


def similarities(corpus, pairs, rows=1000, max_hashes=MAX_HASHES):
    """What the shuffles make of pairs, with batches of so many rows."""
    a, b = np.array(pairs).T
    center, doc_id = np.concatenate([np.unique(a), a]), np.concatenate([np.unique(a), b])
    wanted = pa.table({"center": center, "doc_id": doc_id})
    files = own_texts(corpus.corpus.table("documents"))
    placed = pa.Table.from_batches(located(cut(wanted, rows, "doc_id"), files))
    by_file = cut(placed, rows, "file", "doc_id", "center")
    sets = pa.Table.from_batches(set_rows(by_file, files, NGRAM, corpus.store, max_hashes))
    found = pa.Table.from_batches(compared_rows(cut(sets, rows, "center", "doc_id")))
    return {(row["a"], row["b"]): row["jaccard"] for row in found.to_pylist()}


def some_pairs(texts):
    ids = sorted(texts)
    return [(a, b) for place, a in enumerate(ids) for b in ids[place + 1 :: 7]]


@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
def test_compared_rows_equal_naive_oracle_for_any_batches(corpus, texts, rows):
    pairs = some_pairs(texts)[: 40 if rows == 1 else None]

    found = similarities(corpus, pairs, rows)

    assert found == {(a, b): jaccard_of(texts[a], texts[b], NGRAM) for a, b in pairs}
    assert max(found.values()) > 0.5


def test_compared_rows_of_cut_sets_are_near_the_truth(corpus, texts):
    pairs = some_pairs(texts)

    found = similarities(corpus, pairs, max_hashes=64)

    errors = [found[a, b] - jaccard_of(texts[a], texts[b], NGRAM) for a, b in pairs]
    assert 0 < np.abs(errors).max() < 0.25
    assert abs(np.mean(errors)) < 0.01


def test_compared_rows_sets_of_other_levels_cut_to_the_deeper_one(monkeypatch):
    def made(size, level):
        hashes = (np.arange(size, dtype=np.uint64) * np.uint64(2**64 // size)) | np.uint64(1)
        return hashes[hashes < 2 ** (64 - level)] if level else hashes

    whole, part = made(64, 0), made(64, 1)
    columns = {
        "center": [1, 1],
        "doc_id": [1, 2],
        "level": pa.array([0, 1], pa.int32()),
        "hashes": pa.array([whole.tobytes(), part.tobytes()]),
    }

    (result,) = compared_rows(iter([pa.RecordBatch.from_pydict(columns)]))

    assert result.column("jaccard").to_pylist() == [1.0]


def test_compared_rows_without_a_center_told():
    columns = {
        "center": [1],
        "doc_id": [2],
        "level": pa.array([0], pa.int32()),
        "hashes": pa.array([bytes(8)]),
    }
    with pytest.raises(ConflictError, match="not in `documents`"):
        list(compared_rows(iter([pa.RecordBatch.from_pydict(columns)])))


def test_decided_on_driver_only_true_pairs_stay_with_their_similarity(corpus, texts):
    pairs = some_pairs(texts)
    a, b = np.array(pairs).T
    # One pair is sure, and one equal by its bytes as far as the scan says: neither is read.
    similarity = np.full(len(a), 0.8, np.float32)
    similarity[0], equal = 0.99, np.arange(len(a)) == 1
    edges = pa.table([a, b, similarity, equal], schema=EDGE_SCHEMA)
    dedup = {"threshold": 0.75, "ngram": NGRAM}

    def decided(verify):
        section = DedupSettings(**dedup, verify=verify)
        settings = corpus.settings.model_copy(update={"dedup": section})
        context = sequential_context(settings, "decide")
        return verified_on_driver(context, Upstream.of_dedup(context), edges)

    found = {(row["a"], row["b"]): row["similarity"] for row in decided("exact").to_pylist()}

    exact = {(x, y): jaccard_of(texts[x], texts[y], NGRAM) for x, y in pairs[2:]}
    expected = {pair: value for pair, value in exact.items() if value >= 0.75}
    assert found == pytest.approx({pairs[0]: 0.99, pairs[1]: 0.8, **expected}, rel=1e-6)
    assert 2 < len(expected) < len(exact)
    assert decided("sketch") == edges
