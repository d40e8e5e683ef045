import numpy as np
import pytest

from strata.pipelines.execution.row_groups import pack_parts
from strata.storage.layout.records import TableFile


def file_of(number, n_bytes, row_groups):
    first = number << 37
    return TableFile(f"file:///{number}", 10, n_bytes, first, first + 9, row_groups, "zstd", 3)


def groups_of(tasks):
    return [(part.file.url, group) for task in tasks for part in task for group in part.groups]


@pytest.mark.parametrize("seed", range(30))
def test_pack_parts_every_row_group_once_in_order_in_balanced_tasks(seed):
    rng = np.random.default_rng(seed)
    files = [
        file_of(n, int(rng.integers(1_000, 200_000)), int(rng.integers(1, 9)))
        for n in range(int(rng.integers(1, 40)))
    ]
    total = sum(file.n_bytes for file in files)
    share = max(1, total // int(rng.integers(1, 20)))
    tasks = pack_parts(files, share)
    assert groups_of(tasks) == [(f.url, n) for f in files for n in range(f.row_groups)]
    weights = {file.url: file.n_bytes / file.row_groups for file in files}
    largest = max(weights.values())
    sizes = [sum(weights[p.file.url] * len(p.groups) for p in task) for task in tasks]
    assert max(sizes) <= share + 2 * largest
    assert len(tasks) <= -(-total // share) + 1


def test_pack_parts_part_knows_the_range_of_its_file():
    ((part,),) = pack_parts([file_of(3, 100, 2)], 1000)
    assert (part.file.url, part.groups) == ("file:///3", (0, 1))
    assert (part.file.min_doc_id, part.file.max_doc_id) == (3 << 37, (3 << 37) + 9)


def test_pack_parts_small_share_gives_a_task_for_each_row_group():
    tasks = pack_parts([file_of(0, 400, 4), file_of(1, 100, 1)], 100)
    assert [len(task) for task in tasks] == [1] * 5


def test_pack_parts_without_files_gives_no_task():
    assert pack_parts([], 100) == []
