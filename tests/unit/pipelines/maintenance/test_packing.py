import random
from itertools import pairwise

import pytest

from strata.pipelines.maintenance.packing import pack_files, target_file_count
from strata.storage.layout.records import TableFile

TARGET = 1000


def files_of(sizes):
    return [
        TableFile(f"file:///t/{n}.parquet", 10, size, 100 * n, 100 * n + 99, 1, "zstd", 9)
        for n, size in enumerate(sizes)
    ]


def sizes_of(bins):
    return [[file.n_bytes for file in some] for some in bins]


def test_neighbours_stay_together():
    assert sizes_of(pack_files(files_of([600, 600, 400, 800, 300]), TARGET)) == [
        [600, 600],
        [400, 800],
        [300],
    ]
    bins = pack_files(files_of([100] * 300), TARGET)
    ranges = [(some[0].min_doc_id, some[-1].max_doc_id) for some in bins]
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_a_later_file_fills_a_gap():
    assert sizes_of(pack_files(files_of([1000, 900, 200, 300]), TARGET)) == [
        [1000, 200],
        [900, 300],
    ]
    # Of two gaps the narrower one.
    assert sizes_of(pack_files(files_of([800, 1000, 250]), TARGET)) == [[800], [1000, 250]]


def test_a_file_larger_than_a_bin_has_one_alone():
    bins = sizes_of(pack_files(files_of([100, 5000, 100, 3000]), TARGET))
    assert sorted(bins) == [[100, 100], [3000], [5000]]
    assert target_file_count(files_of([5000]), TARGET) == 5
    assert target_file_count(files_of([1]), TARGET) == 1


def test_nothing_makes_no_bin():
    assert pack_files([], TARGET) == []


@pytest.mark.parametrize("seed", range(20))
def test_every_file_is_in_one_bin_and_bins_are_full_but_few(seed):
    choose = random.Random(seed)
    files = files_of([min(900, int(choose.paretovariate(1.2) * 40)) for _ in range(300)])
    bins = pack_files(choose.sample(files, len(files)), TARGET)
    assert sorted(file.url for some in bins for file in some) == sorted(f.url for f in files)
    sizes = [sum(file.n_bytes for file in some) for some in bins]
    assert max(sizes) <= 1.25 * TARGET
    assert sum(sizes) / len(bins) > 0.9 * 1.25 * TARGET
    # An id lies in the ranges of few files.
    ranges = [(some[0].min_doc_id, some[-1].max_doc_id) for some in bins]
    places = [sum(low <= n <= high for low, high in ranges) for n in range(30_000)]
    assert max(places) <= 12
    assert sum(places) / len(places) < 3
