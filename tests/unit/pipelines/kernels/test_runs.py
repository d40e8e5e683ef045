import numpy as np
import pytest

from strata.pipelines.kernels.runs import distinct_pairs, repeated, run_starts


def naive_starts(*columns):
    rows = list(zip(*columns, strict=True))
    return [place == 0 or row != rows[place - 1] for place, row in enumerate(rows)]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 50])
def test_run_starts_rows_that_differ_from_the_row_before(number):
    rng = np.random.default_rng(number)
    columns = [np.sort(rng.integers(0, 4, number)), rng.integers(0, 2, number)]

    for some in (columns[:1], columns):
        starts = run_starts(*some)
        assert starts.dtype == bool
        assert starts.tolist() == naive_starts(*(column.tolist() for column in some))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 50])
def test_repeated_values_with_an_equal_one(number):
    values = np.sort(np.random.default_rng(number).integers(0, number + 1, number)).tolist()

    assert repeated(np.array(values, np.int64)).tolist() == [values.count(v) > 1 for v in values]


@pytest.mark.parametrize("number", [0, 1, 2, 200])
def test_distinct_pairs_the_preferred_row_of_each(number):
    rng = np.random.default_rng(number)
    a, b, second = (rng.integers(0, 5, number) for _ in range(3))
    first = rng.integers(0, 2, number).astype(bool)

    for preference in ((), (first,), (first, second)):
        best = {}
        for row in range(number):
            pair, key = (a[row], b[row]), (*(column[row] for column in preference), row)
            best[pair] = min(best.get(pair, key), key)
        expected = [best[pair][-1] for pair in sorted(best)]
        assert distinct_pairs(a, b, *preference).tolist() == expected
