"""Choosing a compression level by measured rates, so that neither processor nor network idles.

Every written file shows what its level costs and how fast the store is; a trial on some of its rows
shows what the neighbouring levels would cost and save, until files of those levels are measured.
The next file takes the level whose file would be written in the least time. Choices live as long as
the process, one for each folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strata.storage.contracts.url import Url

__all__ = ["FileCost", "LevelChooser", "Trial", "chooser_of"]

# Levels in between differ too little from the nearest of these.
_STEPS = (1, 3, 5, 7, 9, 12, 15, 17, 19, 22)
# Level of the first file unless one is given.
_LEVEL = 3
# Levels tried on each side of the current one: the next may be slower and yet not smaller.
_REACH = 2
# Weight of a new measurement; earlier ones have the rest.
_WEIGHT = 0.5
# A gain below this share is noise.
_LEAST_GAIN = 0.03
# The cost of a level is forgotten after _FRESH files of other levels, and all costs at once when a
# file takes _OTHER_TIMES as long as earlier ones of its level, or they take that much longer.
_FRESH = 12
_OTHER_TIMES = 2.0
_HARDLY = 0.05
# A store that sends in the background may be this many times as fast as measured, unless the writer
# mostly waited for it: every file ends with a wait for its last parts.
_MORE = 2.0
_LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a level on some rows: seconds and bytes written, per input byte."""

    seconds: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class FileCost:
    """The cost of writing a file.

    Attributes:
        raw_bytes: bytes in memory.
        n_bytes: bytes on the store.
        busy: seconds spent on encoding and compressing.
        waited: seconds spent waiting for the store.
        is_behind: whether the store sends bytes while the next ones are compressed.
    """

    raw_bytes: int
    n_bytes: int
    busy: float
    waited: float
    is_behind: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """The cost of files of a level, per input byte; ``since`` is the number of the last file."""

    busy: float
    n_bytes: float
    whole: float
    since: int

    def mixed(self, new: _Known) -> _Known:
        """The average with a newer file."""
        return _Known(
            _mixed(self.busy, new.busy),
            _mixed(self.n_bytes, new.n_bytes),
            _mixed(self.whole, new.whole),
            new.since,
        )


@dataclass(frozen=True, slots=True)
class _Rate:
    """Seconds per byte of a store: the writer's wait, and the least time that a file takes."""

    waiting: float
    sending: float

    @classmethod
    def of(cls, cost: FileCost) -> _Rate:
        """The rate that one file shows."""
        waited, whole = cost.waited / cost.n_bytes, (cost.busy + cost.waited) / cost.n_bytes
        if not cost.is_behind:
            return cls(waited, waited)
        if cost.waited > _LIMIT * (cost.busy + cost.waited):
            return cls(0.0, whole)
        return cls(waited, whole / _MORE)

    def mixed(self, new: _Rate) -> _Rate:
        """The average with a newer file."""
        return _Rate(_mixed(self.waiting, new.waiting), _mixed(self.sending, new.sending))


class LevelChooser:
    """The level for the next file of a folder: a little up or down where that seems faster.

    Args:
        low: smallest level.
        high: largest level.
        start: the level of the first file.
    """

    def __init__(self, low: int, high: int, start: int) -> None:
        self.level = min(max(start, low), high)
        inside = {level for level in _STEPS if low < level < high}
        self._levels = sorted({low, high, self.level} | inside)
        self._tried: dict[int, Trial] = {}
        self._known: dict[int, _Known] = {}
        self._files = 0
        self._store: _Rate | None = None

    def observe(self, cost: FileCost, attempt: Callable[[int], Trial]) -> None:
        """Learn from a file of the current level, and choose the level of the next file.

        Args:
            cost: the cost of the file.
            attempt: tries a level on some of its rows; called once for each level.
        """
        if not cost.raw_bytes or not cost.n_bytes:
            return
        self._files += 1
        self._learn(
            _Known(
                cost.busy / cost.raw_bytes,
                cost.n_bytes / cost.raw_bytes,
                (cost.busy + cost.waited) / cost.raw_bytes,
                self._files,
            )
        )
        rate = _Rate.of(cost)
        self._store = rate if self._store is None else self._store.mixed(rate)
        place = self._levels.index(self.level)
        # If the writer hardly waits for the store, a slower level cannot save time.
        is_waited_for = cost.waited > _HARDLY * (cost.busy + cost.waited)
        reach = _REACH if is_waited_for else 0
        near = self._levels[max(0, place - _REACH) : place + reach + 1]
        for level in near:
            if level not in self._tried:
                self._tried[level] = attempt(level)
        best = min(near, key=self._seconds)
        if self._seconds(best) < (1 - _LEAST_GAIN) * self._seconds(self.level):
            self.level = best

    def _learn(self, found: _Known) -> None:
        before = self._known.get(self.level)
        if before is not None and self._is_fresh(self.level):
            if not 1 / _OTHER_TIMES < found.whole / before.whole < _OTHER_TIMES:
                # The speed of the store or the machine has changed.
                self._known.clear()
            else:
                found = before.mixed(found)
        self._known[self.level] = found

    def _is_fresh(self, level: int) -> bool:
        known = self._known.get(level)
        return known is not None and self._files - known.since < _FRESH

    def _seconds(self, level: int) -> float:
        """Seconds per input byte: measured if known, else expected."""
        if self._is_fresh(level):
            return self._known[level].whole
        assert self._store is not None
        expected = self._expected(level)
        sending = expected.n_bytes * self._store.sending
        return max(expected.seconds + expected.n_bytes * self._store.waiting, sending)

    def _expected(self, level: int) -> Trial:
        # The cost of whole files of the current level, scaled by the ratio of the trials.
        here, tried, wanted = self._known[self.level], self._tried[self.level], self._tried[level]
        return Trial(
            here.busy * wanted.seconds / tried.seconds,
            here.n_bytes * wanted.n_bytes / tried.n_bytes,
        )


def _mixed(known: float, new: float) -> float:
    return known * (1 - _WEIGHT) + new * _WEIGHT


_CHOOSERS: dict[tuple[Url, tuple[int, int]], LevelChooser] = {}


def chooser_of(
    folder: Url, level_range: tuple[int, int] | None, start: int | None
) -> LevelChooser | None:
    """The chooser of a folder, which all writers of this process share; None without a range."""
    if level_range is None:
        return None
    chooser = LevelChooser(*level_range, _LEVEL if start is None else start)
    return _CHOOSERS.setdefault((folder, level_range), chooser)
