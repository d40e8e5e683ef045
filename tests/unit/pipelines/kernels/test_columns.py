from dataclasses import dataclass

import numpy as np
import pytest

from strata.pipelines.kernels.columns import Columns


@dataclass(frozen=True, slots=True)
class Points(Columns):
    number: np.ndarray
    place: np.ndarray


def points(*numbers):
    number = np.array(numbers, np.int64)
    return Points(number, np.stack([number, -number], axis=1))


def test_join_keeps_the_order_of_parts_and_rows():
    joined = Points.join([points(3, 1), points(), points(2)])

    assert type(joined) is Points
    assert joined.number.tolist() == [3, 1, 2]
    assert joined.place.tolist() == [[3, -3], [1, -1], [2, -2]]


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True]), slice(1, 3)])
def test_take_the_same_rows_of_every_column(rows):
    whole = points(5, 6, 7)

    taken = whole.take(rows)

    assert taken.number.tolist() == whole.number[rows].tolist()
    assert taken.place[:, 0].tolist() == taken.number.tolist()
