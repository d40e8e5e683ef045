"""Choosing a compression level by measured rates, so that neither processor nor network waits.

Every file that was written tells what its level costs and how fast the store is; a trial on some of
its rows tells what the levels beside it would cost and save, until files of theirs tell it better.
The next file takes the level whose file would be written in the least time. Choices live as long as
the process, one for each folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strata.storage.contracts.url import Url

__all__ = ["FileCost", "LevelChooser", "Trial", "chooser_of"]

# Levels between these differ too little from one of them.
_STEPS = (1, 3, 5, 7, 9, 12, 15, 17, 19, 22)
# Level of the first file where none is named.
_LEVEL = 3
# So far from the present level: the next one may be slower, and yet no smaller.
_REACH = 2
# Of a new measurement so much counts, of those before the rest.
_WEIGHT = 0.5
# A gain below this share is noise.
_LEAST_GAIN = 0.03
# What files of a level cost is forgotten after so many files of other levels, and at once where
# one takes so many times as long as those before it, or they as it.
_FRESH = 12
_OTHER_TIMES = 2.0
_HARDLY = 0.05
# A store that sends behind the writer may be this many times as fast as it showed, unless it was
# waited for most of the time: every file ends with a wait for its last parts.
_MORE = 2.0
_LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """What a level did to some rows: seconds and bytes for each byte that went in."""

    seconds: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class FileCost:
    """What a written file cost.

    Attributes:
        raw_bytes: bytes in memory.
        n_bytes: bytes on the store.
        busy: seconds of encoding and compressing.
        waited: seconds that the store was waited for.
        is_behind: whether the store takes bytes while the next ones are compressed.
    """

    raw_bytes: int
    n_bytes: int
    busy: float
    waited: float
    is_behind: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What files of a level cost for each byte that went in; ``since`` counts files."""

    busy: float
    n_bytes: float
    whole: float
    since: int

    def mixed(self, new: _Known) -> _Known:
        """The same with a newer file."""
        return _Known(
            _mixed(self.busy, new.busy),
            _mixed(self.n_bytes, new.n_bytes),
            _mixed(self.whole, new.whole),
            new.since,
        )


@dataclass(frozen=True, slots=True)
class _Rate:
    """Seconds a byte of a store: those that the writer waits, and the least that a file takes."""

    waiting: float
    sending: float

    @classmethod
    def of(cls, cost: FileCost) -> _Rate:
        """What a file tells."""
        waited, whole = cost.waited / cost.n_bytes, (cost.busy + cost.waited) / cost.n_bytes
        if not cost.is_behind:
            return cls(waited, waited)
        if cost.waited > _LIMIT * (cost.busy + cost.waited):
            return cls(0.0, whole)
        return cls(waited, whole / _MORE)

    def mixed(self, new: _Rate) -> _Rate:
        """The same with a newer file."""
        return _Rate(_mixed(self.waiting, new.waiting), _mixed(self.sending, new.sending))


class LevelChooser:
    """The level for the next file of a folder: a little up or down where that promises more.

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
        """Learn from a file of the present level, and choose that of the next.

        Args:
            cost: what it cost.
            attempt: tries a level on some of its rows; asked once for a level.
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
        # A store that is hardly waited for has nothing to give to a slower level.
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
                # The store or the machine is another one than it was.
                self._known.clear()
            else:
                found = before.mixed(found)
        self._known[self.level] = found

    def _is_fresh(self, level: int) -> bool:
        known = self._known.get(level)
        return known is not None and self._files - known.since < _FRESH

    def _seconds(self, level: int) -> float:
        """Seconds a byte that goes in: as measured, else as is to be expected."""
        if self._is_fresh(level):
            return self._known[level].whole
        assert self._store is not None
        expected = self._expected(level)
        sending = expected.n_bytes * self._store.sending
        return max(expected.seconds + expected.n_bytes * self._store.waiting, sending)

    def _expected(self, level: int) -> Trial:
        # What whole files of the present level cost, more or less as the trials differ.
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
