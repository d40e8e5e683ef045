"""A short diff of two texts, word by word, of bounded size.

Where two texts differ is found in time about linear in their length: common runs are skipped a
block at a time. After a difference, short probes of one text are looked up in the other, nearby
first, until both agree again. Near duplicates have few differences, so nearly all of the time goes
into comparing blocks of memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import groupby

__all__ = ["Alignment", "Gap", "Hunk", "Run", "RunKind", "TextDiff", "align", "text_diff"]

MAX_GAPS = 8
CONTEXT = 48
# Longer runs are truncated: the beginning is enough to recognise them.
MAX_SHOWN = 400
# difflib may take time cubic in the number of words: larger pieces are not compared word by word.
MAX_WORDS = 250
MAX_CHARACTERS = 8 * MAX_WORDS
# Fewer common characters than this between two changes count as agreeing by chance.
SHORT = 6
WORDS = re.compile(r"\s+|[\u2e80-\U0003ffff]|[^\W\u2e80-\U0003ffff]+|[^\w\s]")
MAX_ALIGNED_GAPS = 10_000
BLOCK = 1 << 16
# Both texts agree again where this many characters are equal.
PROBE = 32
PROBES = 64
# How many characters are searched for that place: one reach after the other.
REACHES = (1 << 10, 1 << 14, 1 << 18, 1 << 21)
# How many characters may be searched in total: a second or two.
MAX_SEARCHED = 1_000_000_000
# A gap is widened by at most this much to the ends of the words around it: less than half a probe,
# so that neighbouring gaps never touch.
WORD = PROBE // 2 - 1
FIRST_IDEOGRAPH = "\u2e80"


class RunKind(StrEnum):
    """What happens to a run of characters between the old text and the new one."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one kind: for a long run the first ones, and the number of further ones."""

    kind: RunKind
    text: str
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Differences that are close together, with their context.

    Attributes:
        at: number of characters of the old text before the first difference.
        runs: what is kept, removed and added, in the order of the text.
    """

    at: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class TextDiff:
    """How to make one text from another.

    Attributes:
        hunks: the first differences.
        shown: number of differences in them.
        differences: total number of differences.
        common: share of the longer text's characters that both have, 0 to 1.
        complete: whether the texts were aligned to their ends; else ``common`` is a lower bound.
    """

    hunks: tuple[Hunk, ...]
    shown: int
    differences: int
    common: float
    complete: bool


def text_diff(old: str, new: str) -> TextDiff:
    """Compare two texts; takes seconds and a few kilobytes at most, however long they are."""
    found = align(old, new)
    gaps = found.gaps[:MAX_GAPS]
    return TextDiff(
        hunks=tuple(_hunk(old, new, found.gaps, span) for span in _together(gaps)),
        shown=len(gaps),
        differences=len(found.gaps),
        common=found.common / max(len(old), len(new), 1),
        complete=found.complete,
    )


def _together(gaps: Sequence[Gap]) -> Iterator[range]:
    """Indices of gaps that are so close together that their contexts touch."""
    first = 0
    for number in range(1, len(gaps) + 1):
        ends = number == len(gaps)
        if ends or gaps[number].old_start - gaps[number - 1].old_end > 2 * CONTEXT:
            yield range(first, number)
            first = number


def _hunk(old: str, new: str, gaps: Sequence[Gap], span: range) -> Hunk:
    first, last = gaps[span[0]], gaps[span[-1]]
    floor = gaps[span[0] - 1].old_end if span[0] else 0
    ceiling = gaps[span[-1] + 1].old_start if span[-1] + 1 < len(gaps) else len(old)
    runs = [Run(RunKind.SAME, _before(old, floor, first.old_start))]
    for number in span:
        gap = gaps[number]
        if number > span[0]:
            runs.append(Run(RunKind.SAME, old[gaps[number - 1].old_end : gap.old_start]))
        runs += _runs(old[gap.old_start : gap.old_end], new[gap.new_start : gap.new_end])
    runs.append(Run(RunKind.SAME, _after(old, last.old_end, ceiling)))
    return Hunk(first.old_start, tuple(run for run in runs if run.text))


def _before(text: str, floor: int, end: int) -> str:
    """The context before a place, starting at a word boundary."""
    start = max(floor, end - CONTEXT)
    found = text[start:end]
    return found if start == floor else re.sub(r"^\S{1,15}\s", "", found)


def _after(text: str, start: int, ceiling: int) -> str:
    """The context after a place, ending at a word boundary."""
    end = min(ceiling, start + CONTEXT)
    found = text[start:end]
    return found if end == ceiling else re.sub(r"\s\S{1,15}\Z", "", found)


def _runs(old: str, new: str) -> Iterator[Run]:
    """The runs of one gap; compared word by word where it is small."""
    for same, old_part, new_part in _parts(old, new):
        if same:
            yield Run(RunKind.SAME, old_part)
        else:
            yield _cut(RunKind.REMOVED, old_part)
            yield _cut(RunKind.ADDED, new_part)


def _cut(kind: RunKind, text: str) -> Run:
    return Run(kind, text[:MAX_SHOWN], max(0, len(text) - MAX_SHOWN))


def _parts(old: str, new: str) -> Iterator[tuple[bool, str, str]]:
    """The parts of a gap: whether each is kept, and its old and new text."""
    large = max(len(old), len(new)) > MAX_CHARACTERS
    before, after = ([], []) if large else (WORDS.findall(old), WORDS.findall(new))
    if large or max(len(before), len(after)) > MAX_WORDS:
        yield (False, old, new)
        return
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    parts = [("".join(before[i:j]), "".join(after[k:m]), tag) for tag, i, j, k, m in codes]
    stays = [tag == "equal" and not _is_uninformative(text) for text, _, tag in parts]
    for same, group in groupby(zip(stays, parts, strict=True), lambda item: item[0]):
        olds, news = zip(*((o, n) for _, (o, n, _) in group), strict=True)
        yield (same, "".join(olds), "".join(news))


def _is_uninformative(text: str) -> bool:
    return len(text) < SHORT or not any(character.isalnum() for character in text)


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
        complete: whether the search came to the end; else the last gap is the unsearched rest.
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
    """Walks through two texts from one place where they agree again to the next."""

    def __init__(self, old: str, new: str, old_end: int, new_end: int) -> None:
        self._old, self._new = old, new
        self._old_end, self._new_end = old_end, new_end
        self._searched = 0

    def gaps(self, head: int) -> tuple[list[Gap], bool]:
        """All gaps after the common head, and whether the search came to the end."""
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
