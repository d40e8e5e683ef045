import random

import mmh3
import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.types import LongType, StringType, TimestamptzType

from strata.partition_settings import PartitionField, Transform
from strata.storage.layout.murmur import hash_numbers, hash_strings
from strata.storage.layout.partitioning import (
    Partition,
    calendar_number,
    calendar_part,
    partition_rows,
)

SOURCE = PartitionField(Transform.IDENTITY, "source")
LANG = PartitionField(Transform.IDENTITY, "lang")
CHARACTERS = ["a", "b", "é", "ß", "中", "\U0001f600", "\x00", " "]


def words(number, longest=12):
    choose = random.Random(7)
    made = ["".join(choose.choices(CHARACTERS, k=choose.randrange(longest))) for _ in range(number)]
    return [None if index % 17 == 3 else word for index, word in enumerate(made)]


def numbers(number):
    choose = random.Random(8)
    edge = [0, 1, -1, 2**63 - 1, -(2**63), None, 34]
    return edge + [choose.randrange(-(2**62), 2**62) for _ in range(number)]


def values_of(column, array, field):
    batch = pa.RecordBatch.from_arrays([array], names=[column])
    found = partition_rows(batch, (field,))
    return [found.partitions[owner].key[0] for owner in found.owner]


def test_murmur_gives_the_values_of_the_specification():
    assert hash_numbers(np.array([34])).tolist() == [2017239379]
    assert hash_strings(pa.array(["iceberg"])).tolist() == [1210000089]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_murmur_equals_mmh3_for_slices_and_long_strings(kind):
    texts = [word or "" for word in words(500, 300)]
    array = pa.array(["skipped", *texts, "skipped"], kind).slice(1, len(texts))
    assert hash_strings(array).tolist() == [mmh3.hash(text) for text in texts]
    assert hash_strings(pa.array([], kind)).tolist() == []


@pytest.mark.parametrize("width", [1, 16, 10_000])
def test_bucket_equals_that_of_pyiceberg(width):
    field = PartitionField(Transform.BUCKET, "id", width)
    for kind, values, iceberg in (
        (pa.string(), words(400), StringType()),
        (pa.int64(), numbers(400), LongType()),
    ):
        oracle = BucketTransform(width).transform(iceberg)
        assert values_of("id", pa.array(values, kind), field) == [oracle(each) for each in values]


@pytest.mark.parametrize("width", [1, 3, 1000])
def test_truncate_equals_that_of_pyiceberg(width):
    field = PartitionField(Transform.TRUNCATE, "url", width)
    oracle = TruncateTransform(width).transform(StringType())
    values = words(400)
    assert values_of("url", pa.array(values), field) == [oracle(each) for each in values]
    oracle = TruncateTransform(width).transform(LongType())
    values = [each for each in numbers(400) if each != -(2**63)]
    assert values_of("url", pa.array(values, pa.int64()), field) == [oracle(v) for v in values]


def moments(number):
    choose = random.Random(9)
    day = 86_400_000_000
    edge = [0, -1, 1, day, day - 1, -day, -day - 1, None, -62_135_596_800_000_000]
    return [
        *(edge * 2),
        253_402_300_799_999_999,
        *(choose.randrange(-62 * 10**15, 253 * 10**15) for _ in range(number)),
    ]


@pytest.mark.parametrize(
    ("transform", "oracle"),
    [
        (Transform.YEAR, YearTransform()),
        (Transform.MONTH, MonthTransform()),
        (Transform.DAY, DayTransform()),
        (Transform.HOUR, HourTransform()),
    ],
)
def test_parts_of_the_calendar_equal_those_of_pyiceberg(transform, oracle):
    field = PartitionField(transform, "created")
    micros = moments(400)
    found = values_of("created", pa.array(micros, pa.timestamp("us", "UTC")), field)
    number_of, kind = oracle.transform(TimestamptzType()), TimestamptzType()
    for each, value in zip(micros, found, strict=True):
        number = number_of(each)
        assert (value is None) == (number is None)
        if number is not None:
            assert calendar_number(transform, value) == number
            assert calendar_part(transform, number) == value
            # PyIceberg does not fill up years before 1000.
            if number > -900 * (365 * 24 if transform is Transform.HOUR else 1):
                assert str(value) == oracle.to_human_string(kind, number)


def test_parts_of_the_calendar_of_no_rows():
    field = PartitionField(Transform.DAY, "created")
    assert values_of("created", pa.array([], pa.timestamp("us", "UTC")), field) == []
    assert values_of("created", pa.nulls(2, pa.timestamp("us", "UTC")), field) == [None, None]


@pytest.mark.parametrize(
    ("transform", "number", "folder"),
    [
        (Transform.YEAR, 53, "created_year=2023"),
        (Transform.MONTH, 640, "created_month=2023-05"),
        (Transform.DAY, 19478, "created_day=2023-05-01"),
        (Transform.HOUR, 19478 * 24 + 12, "created_hour=2023-05-01-12"),
        (Transform.DAY, -1, "created_day=1969-12-31"),
    ],
)
def test_folder_of_a_part_of_the_calendar_is_for_people(transform, number, folder):
    field = PartitionField(transform, "created")
    assert Partition((field,), (calendar_part(transform, number),)).folder == folder


def test_rows_of_several_fields_equal_a_loop_over_rows():
    choose = random.Random(3)
    rows = [
        {"source": choose.choice("ab"), "lang": choose.choice(["de", None, "en", ""])}
        for _ in range(300)
    ]
    batch = pa.RecordBatch.from_pylist(rows)
    found = partition_rows(batch, (SOURCE, LANG))
    assert [dict(found.partitions[owner]) for owner in found.owner] == rows
    assert len(found.partitions) == len(set(found.partitions)) == 8


def test_rows_of_an_empty_batch_and_of_no_field():
    batch = pa.RecordBatch.from_pylist([], schema=pa.schema([("source", pa.string())]))
    assert len(partition_rows(batch, (SOURCE,)).owner) == 0
    batch = pa.RecordBatch.from_pylist([{"source": "a"}] * 3)
    found = partition_rows(batch, ())
    assert (found.owner.tolist(), found.partitions) == ([0, 0, 0], (Partition(),))


def test_partition_is_a_mapping_by_name():
    partition = Partition((SOURCE, PartitionField(Transform.BUCKET, "id", 4)), ("web", 3))
    assert dict(partition) == {"source": "web", "id_bucket_4": 3}
    assert "lang" not in partition
    assert partition
    assert not Partition()
    assert hash(partition) == hash(Partition(partition.fields, partition.key))


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("web", "source=web"),
        (None, "source=__HIVE_DEFAULT_PARTITION__"),
        ("", "source="),
        ("a/../b c=1%", "source=a%2F..%2Fb%20c%3D1%25"),
        ("中", "source=%E4%B8%AD"),
    ],
)
def test_folder_is_safe_whatever_the_value(value, folder):
    assert Partition((SOURCE,), (value,)).folder == folder


def test_folder_of_long_values_is_short_and_its_own():
    folders = {Partition((SOURCE,), ("中" * 100 + end,)).folder for end in "ab"}
    assert len(folders) == 2
    assert all(len(folder) < 200 for folder in folders)
