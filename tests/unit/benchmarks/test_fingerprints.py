import json

import numpy as np
import pytest

from benchmarks.dedup_scale import StageCost
from benchmarks.fingerprints import Prints, banners, copies, write_warehouse
from strata.settings import Settings
from strata.storage.tables.catalog import open_corpus


@pytest.fixture
def base():
    rng = np.random.default_rng(5)
    signature = rng.integers(0, 4, (300, 256), np.uint8)
    shingles = np.arange(300) % 7
    signature[shingles == 0] = 0
    return Prints(signature, rng.integers(0, 256, (300, 16), np.uint8), shingles)


def agreeing(one, other):
    return np.count_nonzero(one[:, None, :] == other[None, :, :], axis=2)


def test_fingerprints_documents_of_a_copy_agree_as_the_real_ones(base):
    original, copy, other = copies(base, 3)
    own = np.flatnonzero(((np.arange(300) + 37) % 100 > 1) & (base.n_shingles > 0))

    assert original is base
    assert np.array_equal(
        agreeing(copy.signature[own], copy.signature[own]),
        agreeing(base.signature[own], base.signature[own]),
    )
    assert agreeing(copy.signature[own], base.signature).max() < 40
    assert agreeing(copy.signature[own], other.signature).max() < 40


def test_fingerprints_of_a_hundred_one_is_equal_and_one_nearly(base):
    _, copy = copies(base, 2)
    share = (np.arange(300) + 37) % 100
    worded = base.n_shingles > 0

    same = (copy.content_hash == base.content_hash).all(axis=1)
    assert np.array_equal(same, share == 0)
    agree = np.count_nonzero(copy.signature == base.signature, axis=1)
    assert (agree[share == 0] == 256).all()
    assert (agree[(share == 1) & worded] >= 240).all()
    assert not copy.signature[~worded].any()


def test_fingerprints_banners_are_half_equal_and_otherwise_alike():
    (part,) = banners(60)

    assert len(np.unique(part.content_hash[::2], axis=0)) == 1
    assert len(np.unique(part.content_hash[1::2], axis=0)) == 30
    assert agreeing(part.signature, part.signature).min() > 150


def test_fingerprints_warehouse_has_a_row_for_each_document(tmp_path, base):
    settings = Settings(corpus="b", warehouse=str(tmp_path / "wh"), inputs=[{"path": "none"}])

    assert write_warehouse(settings, copies(base, 3)) == 900

    corpus = open_corpus(settings)
    for table in ("documents", "fingerprints"):
        files = corpus.table(table).files()
        assert sum(file.rows for file in files) == 900
        assert max(file.max_doc_id for file in files) == (2 << 37) + 299


def test_stage_cost_adds_tasks_and_tells_the_skew():
    event = (
        '{"Task Metrics": {"Disk Bytes Spilled": 5, "Shuffle Read Metrics":'
        ' {"Total Records Read": %d}, "Shuffle Write Metrics": {"Shuffle Bytes Written": 7}}}'
    )
    cost = StageCost()
    for rows in (10, 20, 60):
        cost.add(json.loads(event % rows))

    assert (cost.shuffle_bytes, cost.spilled_bytes) == (21, 15)
    assert cost.skew == 2.0
