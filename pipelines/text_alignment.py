"""Where two long texts differ, found in time about linear in their length.

Common runs are skipped a block at a time. Behind a difference, short probes of one text are looked
up in the other, close by first, until both agree again. Near duplicates have few differences, so
that nearly all of the time goes into comparing blocks of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Alignment", "Gap", "align"]

MAX_ALIGNED_GAPS = 10_000
BLOCK = 1 << 16
# Both texts agree again where this many characters do.
PROBE = 32
PROBES = 64
# Characters that are searched for the place, one reach after the other.
REACHES = (1 << 10, 1 << 14, 1 << 18, 1 << 21)
# Characters that may be searched in all: a second or two.
MAX_SEARCHED = 1_000_000_000
# At most this far a gap grows to the ends of the words around it; less than half a probe, so that
# neighbouring gaps never meet.
WORD = PROBE // 2 - 1
FIRST_IDEOGRAPH = "\u2e80"


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference: ``old[old_start:old_end]`` is replaced by ``new[new_start:new_end]``."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where two texts differ.

    Attributes:
        gaps: the differences in their order; between them the texts agree.
        common: characters outside of the gaps.
        complete: whether the last gap is only what differs, not all that was not searched.
    """

    gaps: tuple[Gap, ...]
    common: int
    complete: bool


def align(old: str, new: str) -> Alignment:
    """Align two texts.

    The gaps need not be the fewest or shortest possible ones.
    """
    head = _agreeing(old, new, 0, 0, min(len(old), len(new)))
    tail = _agreeing_before(old, new, len(old), len(new), min(len(old), len(new)) - head)
    search = _Search(old, new, len(old) - tail, len(new) - tail)
    gaps, complete = search.gaps(head)
    common = len(old) - sum(gap.old_end - gap.old_start for gap in gaps)
    return Alignment(tuple(gaps), common, complete)


def _agreeing(old: str, new: str, i: int, j: int, limit: int) -> int:
    """How many characters from ``old[i]`` and ``new[j]`` on are the same, up to a limit."""
    return _longest(limit, lambda a, b: old[i + a : i + b] == new[j + a : j + b])


def _agreeing_before(old: str, new: str, i: int, j: int, limit: int) -> int:
    """How many characters before ``old[i]`` and ``new[j]`` are the same, up to a limit."""
    return _longest(limit, lambda a, b: old[i - b : i - a] == new[j - b : j - a])


def _longest(limit: int, agree: Callable[[int, int], bool]) -> int:
    """The largest n up to a limit for which everything from 0 to n agrees."""
    same, step = 0, PROBE
    while same < limit:
        size = min(step, limit - same)
        if agree(same, same + size):
            same, step = same + size, min(2 * step, BLOCK)
        elif size == 1:
            break
        else:
            limit, step = same + size, size // 2
    return same


class _Search:
    """The way through two texts from one place where they agree again to the next."""

    def __init__(self, old: str, new: str, old_end: int, new_end: int) -> None:
        self._old, self._new = old, new
        self._old_end, self._new_end = old_end, new_end
        self._searched = 0

    def gaps(self, head: int) -> tuple[list[Gap], bool]:
        """All gaps behind the common head, and whether the search came to its end."""
        found: list[Gap] = []
        i = j = head
        while i < self._old_end or j < self._new_end:
            given_up = len(found) == MAX_ALIGNED_GAPS - 1 or self._searched >= MAX_SEARCHED
            met = None if given_up else self._meet(i, j)
            gap = met or Gap(i, self._old_end, j, self._new_end)
            found.append(self._to_words(gap))
            if met is None:
                unsearched = min(gap.old_end - i, gap.new_end - j) > REACHES[-1]
                return found, not (given_up or unsearched)
            i, j = gap.old_end, gap.new_end
            same = _agreeing(self._old, self._new, i, j, min(self._old_end - i, self._new_end - j))
            i, j = i + same, j + same
        return found, True

    def _meet(self, i: int, j: int) -> Gap | None:
        """The gap from here to the nearest place where the texts agree again."""
        for reach in REACHES:
            met = self._meet_within(i, j, reach)
            if met is not None:
                return met
            if max(self._old_end - i, self._new_end - j) <= reach:
                return None
        return None

    def _meet_within(self, i: int, j: int, reach: int) -> Gap | None:
        nearest, best = 2 * reach, None
        for offset in range(0, reach, reach // PROBES):
            probe = self._new[j + offset : min(j + offset + PROBE, self._new_end)]
            if len(probe) < PROBE or offset >= nearest:
                break
            until = min(i + min(reach, nearest - offset) + PROBE, self._old_end)
            at = self._old.find(probe, i, until)
            self._searched += (until if at < 0 else at) - i
            if at >= 0 and at - i + offset < nearest:
                nearest, best = at - i + offset, Gap(i, at, j, j + offset)
        return best and self._shortened(best)

    def _shortened(self, gap: Gap) -> Gap:
        limit = min(gap.old_end - gap.old_start, gap.new_end - gap.new_start)
        same = _agreeing_before(self._old, self._new, gap.old_end, gap.new_end, limit)
        return Gap(gap.old_start, gap.old_end - same, gap.new_start, gap.new_end - same)

    def _to_words(self, gap: Gap) -> Gap:
        """Widen a gap to the ends of the words that it cuts."""
        old, new, left, right = self._old, self._new, 0, 0
        if _in_word(old, gap.old_start) or _in_word(new, gap.new_start):
            while left < WORD and _in_word(old, gap.old_start - left - 1):
                left += 1
        if _in_word(old, gap.old_end - 1) or _in_word(new, gap.new_end - 1):
            while right < WORD and _in_word(old, gap.old_end + right):
                right += 1
        return Gap(
            gap.old_start - left, gap.old_end + right, gap.new_start - left, gap.new_end + right
        )


def _in_word(text: str, place: int) -> bool:
    # Chinese and Japanese have no spaces between words.
    return 0 <= place < len(text) and text[place].isalnum() and text[place] < FIRST_IDEOGRAPH
