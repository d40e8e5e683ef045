import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import SettingsError
from strata.storage.layout.records import TableFile
from strata.storage.reading.conditions import parse_condition
from strata.storage.reading.predicates import (
    Comparison,
    Predicate,
    matching_groups,
    matching_rows,
)
from strata.storage.reading.read_plan import FilePiece, pack

MB = 1 << 20


def file(number, n_bytes, row_groups=1):
    return TableFile(
        f"file:///f{number}", 10, n_bytes, number, number, row_groups, "zstd", 3, created_ms=None
    )


def groups_of(parts):
    """Every row group of every piece, None for a whole file."""
    return [
        (piece.url, group) for part in parts for piece in part for group in (piece.groups or [None])
    ]


def test_pack_small_files_neighbours_together():
    parts = pack([file(n, MB) for n in range(100)], 50 * MB)

    assert [len(part) for part in parts] == [25] * 4
    assert groups_of(parts) == [(f"file:///f{n}", None) for n in range(100)]


def test_pack_large_file_divided_by_row_groups():
    parts = pack([file(0, 100 * MB, row_groups=7), file(1, MB)], 25 * MB)

    pieces = groups_of(parts)
    assert len(parts) == 4
    assert pieces == [*(("file:///f0", n) for n in range(7)), ("file:///f1", None)]


def test_pack_file_of_one_row_group_stays_whole():
    assert pack([file(0, 100 * MB)], MB) == [(FilePiece("file:///f0", None),)]


def test_pack_file_that_tells_no_row_groups_stays_whole():
    assert pack([file(0, 100 * MB, row_groups=0)], MB) == [(FilePiece("file:///f0", None),)]


def test_pack_nothing_no_parts():
    assert pack([], MB) == []


@pytest.fixture
def footer(tmp_path):
    """Row groups with the numbers 0-9, 10-19, 20-29, 30-39, and names by them."""
    numbers = list(range(40))
    names = [f"n{number:02d}" if number % 7 else None for number in numbers]
    ratio = [float("nan") if number == 5 else number / 2 for number in numbers]
    table = pa.table({"number": numbers, "name": names, "ratio": ratio, "none": [None] * 40})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=10)
    return pq.read_metadata(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("column", "comparison", "values", "expected"),
    [
        ("number", Comparison.EQUAL, (10,), [1]),
        ("number", Comparison.LESS, (10,), [0]),
        ("number", Comparison.LESS_EQUAL, (10,), [0, 1]),
        ("number", Comparison.GREATER, (29,), [3]),
        ("number", Comparison.GREATER_EQUAL, (29,), [2, 3]),
        ("number", Comparison.IN, (3, 35), [0, 3]),
        ("number", Comparison.IN, (99, -1), []),
        ("name", Comparison.EQUAL, ("n15",), [1]),
        ("name", Comparison.STARTS_WITH, ("n1",), [1]),
        ("name", Comparison.STARTS_WITH, ("",), [0, 1, 2, 3]),
        ("name", Comparison.STARTS_WITH, ("n4",), []),
        # Without bounds anything may be there, and of another schema too.
        ("none", Comparison.EQUAL, ("x",), [0, 1, 2, 3]),
        ("absent", Comparison.EQUAL, ("x",), [0, 1, 2, 3]),
    ],
)
def test_matching_groups_by_bounds(footer, column, comparison, values, expected):
    predicate = Predicate(column, comparison, values)

    assert matching_groups(footer, range(4), [predicate]) == expected


def test_matching_groups_of_several_predicates_all_must_hold(footer):
    predicates = [
        Predicate("number", Comparison.GREATER, (9,)),
        Predicate("name", Comparison.LESS, ("n20",)),
    ]

    assert matching_groups(footer, range(4), predicates) == [1]
    assert matching_groups(footer, [2, 3], predicates) == []


SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("name", pa.large_string()),
        ("flag", pa.bool_()),
        ("ratio", pa.float32()),
        ("hash", pa.binary(4)),
        ("made", pa.timestamp("us", tz="UTC")),
    ]
)
ROWS = [
    {"number": 1, "name": "ab", "flag": True, "made": datetime(1969, 12, 31, 23, tzinfo=UTC)},
    {"number": 2, "name": "abc", "flag": False, "made": datetime(2023, 5, 1, tzinfo=UTC)},
    {"number": 3, "name": None, "flag": None},
    {"number": None, "name": "it's", "flag": True},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [0, 1, 2, 3]),
        ("number = 2", [1]),
        ("number < 2", [0]),
        ("number <= 2", [0, 1]),
        ("number > 2", [2]),
        ("number >= 2", [1, 2]),
        ("number between 2 and 3", [1, 2]),
        ("number in (1, 3)", [0, 2]),
        ("name in ('ab')", [0]),
        ("name like 'ab%'", [0, 1]),
        ("name = 'ab' and number < 3 and flag = true", [0]),
        ("name > 'abc'", [3]),
        ("flag = false", [1]),
        ("made >= '1970-01-01'", [1]),
        ("made < '2023-05-01T01:00:00+01:00'", [0]),
        ("made = '2023-05-01T02:00+02:00'", [1]),
        ("made in ('2023-05-01T00:00:00Z', '1999-01-01')", [1]),
        ("made between '1969-12-31' and '1969-12-31T23:00'", [0]),
    ],
)
def test_parse_condition_rows_that_meet_them(text, expected):
    batch = pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA)

    found = matching_rows(batch, parse_condition(text, SCHEMA))

    assert found.to_pylist() == batch.take(pa.array(expected, pa.int64())).to_pylist()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("number =", "is no condition"),
        ("name like '%x'", "is no condition"),
        ("number = 1 or number = 2", "Or in "),
        ("not number = 1", "Not in "),
        ("name is null", "IsNull in "),
        # NaN is in no bounds.
        ("ratio > 1", "column 'ratio' has no bounds"),
        ("hash = 'abcd'", "column 'hash' has no bounds"),
        ("nmae = 'x'", "column 'nmae' has no bounds"),
        ("number = 'one'", "'one' is no value of column number"),
        ("number = 5000000000", "5000000000 is no value of column number"),
        ("number = 1.5", "is no value of column number"),
        ("name = 5", "5 is no value of column name"),
        ("made = 'soon'", "'soon' is no value of column made"),
        ("made = 5", "5 is no value of column made"),
        ("made like '2023%'", "column made is no text"),
    ],
)
def test_parse_condition_other_conditions_refused(text, told):
    with pytest.raises(SettingsError) as caught:
        parse_condition(text, SCHEMA)
    assert told in str(caught.value)


def test_data_source_workers_import_no_pyiceberg():
    code = "import sys, strata.jobs.datasource.source; print('pyiceberg' in sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "False\n"
