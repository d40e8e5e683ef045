from dataclasses import dataclass, field

import numpy as np
import pytest

from strata.errors import InputError
from strata.pipelines.ingest.plan import (
    SMALLEST_TASK_BYTES,
    TEXT_PER_DISK_BYTE,
    pack_splits,
    plan_shard,
)
from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.listing import FoundInput, Listing
from strata.pipelines.readers.split import ReadOptions, Split
from strata.pipelines.tables.inputs import KnownInput
from strata.settings import InputFormat, Settings
from strata.storage.tables.publish import PublishMode

TABLES = ("documents", "fingerprints", "rejects", "inputs")


def settings_of(**shard):
    return Settings(corpus="web", inputs=[{"path": "in"}], shard=shard)


def found(name, identity="1"):
    return FoundInput(
        f"file:///in/{name}",
        10,
        identity,
        "in",
        InputFormat.JSONL,
        Compression.NONE,
        ReadOptions(),
    )


def listing(*files):
    return Listing(
        tuple(found(*file) if isinstance(file, tuple) else found(file) for file in files), {}
    )


@dataclass
class Table:
    """Content of a table as (ordinal, cause), and the keys since it was last overwritten."""

    keys: list = field(default_factory=list)
    rows: list = field(default_factory=list)


class Warehouse:
    """What plans do to the tables, with the rules of `publish`."""

    def __init__(self):
        self.tables = {name: Table() for name in TABLES}
        self.settings_key = None

    def plan(self, files, settings):
        keys = tuple(table.keys[-1] if table.keys else None for table in self.tables.values())
        known = [
            KnownInput(uri, ordinal, 10, "1", cause)
            for ordinal, uri, cause in self.tables["inputs"].rows
        ]
        return plan_shard(files, known, settings, keys=keys, settings_key=self.settings_key)

    def run(self, files, settings, publishes=4):
        """One run that dies after so many publishes; returns its plan."""
        plan = self.plan(files, settings)
        if plan.done:
            return plan
        for name in TABLES[:publishes]:
            table = self.tables[name]
            rows = [(file.ordinal, file.uri, file.cause) for file in plan.files]
            if plan.mode is PublishMode.APPEND and plan.key not in table.keys:
                table.keys.append(plan.key)
                table.rows = table.rows + rows
            elif plan.mode is PublishMode.OVERWRITE and table.keys[-1:] != [plan.key]:
                table.keys, table.rows = [plan.key], rows
        if publishes == 4:
            self.settings_key = plan.settings_key
        return plan


def numbers(plan):
    return [(file.ordinal, file.uri[-1]) for file in plan.files]


def test_plan_new_corpus_numbers_all_files_in_listing_order():
    plan = Warehouse().plan(listing("b", "a", "c"), settings_of())
    assert numbers(plan) == [(0, "b"), (1, "a"), (2, "c")]
    assert plan.mode is PublishMode.OVERWRITE
    assert not plan.done


def test_plan_nothing_new_is_done():
    warehouse = Warehouse()
    first = warehouse.run(listing("a", "b"), settings_of())
    again = warehouse.plan(listing("a", "b"), settings_of())
    assert again.done
    assert again.key == first.key


def test_plan_appended_file_gets_the_next_ordinal_wherever_it_is_listed():
    warehouse = Warehouse()
    first = warehouse.run(listing("b", "d"), settings_of())
    plan = warehouse.run(listing("a", "b", "c", "d"), settings_of())
    assert numbers(plan) == [(2, "a"), (3, "c")]
    assert plan.mode is PublishMode.APPEND
    assert plan.key != first.key
    assert warehouse.plan(listing("a", "b", "c", "d"), settings_of()).done


@pytest.mark.parametrize("now", [["a"], [("a", "2"), "b"], ["b"], ["a", "c"]])
def test_plan_changed_or_gone_file_is_refused_by_name(now):
    warehouse = Warehouse()
    warehouse.run(listing("a", "b"), settings_of())
    with pytest.raises(InputError, match=r"1 input\(s\) .* changed or are gone: file:///in/[ab] "):
        warehouse.plan(listing(*now), settings_of())


def test_plan_many_lost_files_names_only_some():
    warehouse = Warehouse()
    warehouse.run(listing(*"abcde"), settings_of())
    with pytest.raises(InputError, match=r"5 input\(s\) .*/a, file:///in/b, file:///in/c … \(put"):
        warehouse.plan(listing("z"), settings_of())


@pytest.mark.parametrize("now", [["a"], [("a", "2"), "b"], ["b", "c"]])
def test_plan_changed_or_gone_file_rebuilds_where_that_is_allowed(now):
    warehouse = Warehouse()
    warehouse.run(listing("a", "b"), settings_of())
    plan = warehouse.run(listing(*now), settings_of(changed_inputs="rebuild"))
    assert plan.mode is PublishMode.OVERWRITE
    assert [number for number, _ in numbers(plan)] == list(range(len(now)))
    assert warehouse.plan(listing(*now), settings_of()).done


@pytest.mark.parametrize(
    "changed",
    [
        {"dedup": {"ngram": 3}},
        {"shard": {"max_document_mb": 7}},
        {"shard": {"nul": "reject"}},
    ],
)
def test_plan_settings_that_change_documents_read_everything_anew(changed):
    warehouse = Warehouse()
    first = warehouse.run(listing("a", "b"), settings_of())
    other = Settings(corpus="web", inputs=[{"path": "in"}], **changed)
    plan = warehouse.plan(listing("a", "b"), other)
    assert plan.mode is PublishMode.OVERWRITE
    assert numbers(plan) == [(0, "a"), (1, "b")]
    assert plan.key != first.key


@pytest.mark.parametrize(
    "changed",
    [
        {"split_mb": 1},
        {"target_file_mb": 1},
        {"max_reject_ratio": 0.5},
        {"max_document_mb": 256},
        {"nul": "remove"},
    ],
)
def test_plan_settings_of_speed_and_limits_change_nothing(changed):
    warehouse = Warehouse()
    warehouse.run(listing("a"), settings_of())
    assert warehouse.plan(listing("a"), settings_of(**changed)).done


@pytest.mark.parametrize("publishes", [0, 1, 2, 3])
def test_plan_after_a_crash_the_same_run_finishes_the_work(publishes):
    warehouse = Warehouse()
    warehouse.run(listing("a"), settings_of())
    died = warehouse.run(listing("a", "b"), settings_of(), publishes)
    again = warehouse.run(listing("a", "b"), settings_of())
    assert again == died
    assert [row[0] for row in warehouse.tables["documents"].rows] == [0, 1]


@pytest.mark.parametrize("publishes", [1, 2, 3])
@pytest.mark.parametrize("now", [["a"], ["a", "c"], ["a", "b", "c"], ["a", ("b", "2")]])
def test_plan_after_a_crash_other_files_rebuild_everything(publishes, now):
    warehouse = Warehouse()
    warehouse.run(listing("a"), settings_of())
    warehouse.run(listing("a", "b"), settings_of(), publishes)
    plan = warehouse.run(listing(*now), settings_of())
    assert plan.mode is PublishMode.OVERWRITE
    assert len(plan.files) == len(now)


def test_plan_any_history_of_crashes_and_changes_ends_in_equal_tables():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        warehouse = Warehouse()
        for step in range(8):
            names = [n for n in "abcd" if rng.random() < 0.6] or ["a"]
            files = listing(*[(n, str(rng.integers(1, 3))) for n in rng.permutation(names)])
            ngram = int(rng.choice([4, 5, 5, 5]))
            settings = Settings(
                corpus="web",
                inputs=[{"path": "in"}],
                shard={"changed_inputs": "rebuild"},
                dedup={"ngram": ngram},
            )
            last = step == 7
            warehouse.run(files, settings, 4 if last else int(rng.integers(0, 5)))
        assert warehouse.plan(files, settings).done
        contents = [table.rows for table in warehouse.tables.values()]
        assert contents == [contents[-1]] * 4
        assert {cause for _, _, cause in contents[0]} == {file.cause for file in files.files}
        assert [ordinal for ordinal, _, _ in contents[0]] == list(range(len(contents[0])))
        assert len({table.keys[-1] for table in warehouse.tables.values()}) == 1


def splits_of(weights):
    file = found("a").numbered(0)
    return [Split(file, n, n + 1, 0, int(weight)) for n, weight in enumerate(weights)]


@pytest.mark.parametrize("seed", range(20))
def test_pack_splits_is_balanced_and_keeps_the_order(seed):
    rng = np.random.default_rng(seed)
    splits = splits_of(rng.integers(1_000, 64_000_000, int(rng.integers(1, 200))))
    parallelism, target = int(rng.integers(1, 9)), int(rng.integers(8_000_000, 200_000_000))
    tasks = pack_splits(splits, parallelism, target)
    assert [split for task in tasks for split in task] == splits
    total = sum(split.weight for split in splits)
    wanted = max(
        -(-total // (target * TEXT_PER_DISK_BYTE)),
        min(2 * parallelism, -(-total // SMALLEST_TASK_BYTES)),
    )
    share = total / min(wanted, len(splits))
    assert len(tasks) <= wanted
    largest = max(split.weight for split in splits)
    assert max(sum(split.weight for split in task) for task in tasks) <= share + largest


def test_pack_splits_equal_splits_give_equal_tasks():
    tasks = pack_splits(splits_of([8_000_000] * 64), 4, 128_000_000)
    assert [len(task) for task in tasks] == [8] * 8


@pytest.mark.parametrize("weights", [[0], [0, 0, 0], [1], [1, 0, 1]])
def test_pack_splits_tiny_inputs_are_one_task(weights):
    splits = splits_of(weights)
    assert pack_splits(splits, 8, 128_000_000) == [splits]


def test_pack_splits_no_split_gives_no_task():
    assert pack_splits([], 8, 128_000_000) == []
