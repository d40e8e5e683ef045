"""Joining repeated runs of words that overlap into few cuts.

Repeated text of n words is n - width + 1 repeated runs. Where these follow each other both in their
text and in the one they repeat, they are one cut. Where the repeated text changes, the next cut
begins as late as it can without leaving a gap, so that the cuts together are not many more than the
words they cover divided by ``width``.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "RunMerger"]

DOC_ID, PLACE, START, END, FIRST_ID, FIRST_PLACE, FIRST_START = range(7)
COLUMNS: Final = 7
"""Columns of a run or cut: doc_id, place, start, end, first_id, first_place, first_start."""
_LAST: Final = COLUMNS
"""Place of the last run of a cut; -1 where there is no cut."""


class RunMerger:
    """Turns repeated runs, sorted by (document, place), into cuts; batches may end anywhere.

    Args:
        width: words in a run.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        # The open cut, and the latest run behind it that could begin the next one.
        self._state = np.full((2, COLUMNS + 1), -1, np.int64)

    def feed(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cuts that end before these runs, int64[m, COLUMNS], of runs, int64[n, COLUMNS]."""
        cuts = np.empty((2 * len(runs) + 2, COLUMNS), np.int64)
        return cuts[: _merge(np.ascontiguousarray(runs), self._width, self._state, cuts)].copy()

    def finish(self) -> NDArray[np.int64]:
        """The cuts that are still open."""
        cuts = np.empty((2, COLUMNS), np.int64)
        return cuts[: _flush(self._state, cuts, 0)].copy()


@numba.njit(cache=True)
def _flush(state: NDArray[np.int64], cuts: NDArray[np.int64], count: int) -> int:
    """Write the open cut, and the run behind it as another one."""
    for row in state:
        if row[_LAST] >= 0:
            cuts[count] = row[:COLUMNS]
            row[_LAST] = -1
            count += 1
    return count


@numba.njit(cache=True)
def _continues(cut: NDArray[np.int64], run: NDArray[np.int64]) -> bool:
    step = run[PLACE] - cut[PLACE]
    next_place = run[PLACE] == cut[_LAST] + 1
    return bool(
        next_place
        and run[FIRST_ID] == cut[FIRST_ID]
        and run[FIRST_PLACE] == cut[FIRST_PLACE] + step
    )


@numba.njit(
    numba.int64(
        numba.types.Array(numba.int64, 2, "C", readonly=True),
        *(numba.int64, numba.int64[:, ::1], numba.int64[:, ::1]),
    ),
    cache=True,
    nogil=True,
)
def _merge(
    runs: NDArray[np.int64], width: int, state: NDArray[np.int64], cuts: NDArray[np.int64]
) -> int:
    count = 0
    cut, behind = state[0], state[1]
    for run in runs:
        latest = max(cut[_LAST], behind[_LAST])
        if cut[_LAST] >= 0 and (run[DOC_ID] != cut[DOC_ID] or run[PLACE] != latest + 1):
            count = _flush(state, cuts, count)
        elif behind[_LAST] >= 0 and run[PLACE] - cut[_LAST] >= width:
            cuts[count] = cut[:COLUMNS]
            count += 1
            cut[:], behind[_LAST] = behind, -1
        if cut[_LAST] < 0:
            cut[:COLUMNS], cut[_LAST] = run, run[PLACE]
        elif behind[_LAST] < 0 and _continues(cut, run):
            cut[_LAST], cut[END] = run[PLACE], run[END]
        else:
            behind[:COLUMNS], behind[_LAST] = run, run[PLACE]
    return count
