import pickle

import pytest

from strata.pipelines.execution.data_files import (
    DataFile,
    RemovedBy,
    RowGroups,
    data_files,
    group_files,
)
from strata.storage.layout.records import TableFile


def file_of(number):
    first = number << 37
    return TableFile(f"file:///{number}", 10, 99, first, first + 9, 3, "zstd", 3)


def test_data_file_has_the_ids_that_its_documents_get():
    shift = -(1 << 63)
    own, (other,) = DataFile.of(file_of(2)), data_files([file_of(2)], shift, RemovedBy.CLUSTERS)

    assert own == DataFile("file:///2", 2 << 37, (2 << 37) + 9)
    assert (other.min_doc_id, other.max_doc_id) == (own.min_doc_id + shift, own.max_doc_id + shift)
    assert (other.shift, other.reason) == (shift, RemovedBy.CLUSTERS)


@pytest.mark.parametrize(
    ("low", "high", "overlaps"),
    [(0, 9, False), (0, 10, True), (12, 13, True), (20, 99, True), (21, 99, False)],
)
def test_data_file_overlaps_both_ends_included(low, high, overlaps):
    assert DataFile("file:///a", 10, 20).overlaps(low, high) is overlaps


def test_data_file_of_unknown_ids_may_hold_any_document():
    assert DataFile("file:///a").overlaps(-(1 << 63), -(1 << 63))
    assert DataFile("file:///a").overlaps((1 << 63) - 1, (1 << 63) - 1)


def test_data_files_travel_in_few_bytes():
    files = [RowGroups(file, (0, 1)) for file in data_files(map(file_of, range(100)))]
    pickled = pickle.dumps(files)

    assert pickle.loads(pickled) == files
    assert len(pickled) < 80 * len(files)


@pytest.mark.parametrize(("files", "tasks"), [(0, 3), (1, 3), (3, 3), (10, 3), (10, 1), (4, 100)])
def test_group_files_deals_all_of_them_out_in_order(files, tasks):
    given = [DataFile(f"file:///{n}") for n in range(files)]
    groups = group_files(given, tasks)
    assert [file for group in groups for file in group] == given
    assert len(groups) == min(files, tasks)
    sizes = {len(group) for group in groups}
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
