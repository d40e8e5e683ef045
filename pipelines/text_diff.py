"""A short diff of two texts, word by word, of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import groupby

from strata.pipelines.text_alignment import Gap, align

__all__ = ["Hunk", "Run", "RunKind", "TextDiff", "text_diff"]

MAX_GAPS = 8
CONTEXT = 48
# A longer run is cut: its beginning tells what it is.
MAX_SHOWN = 400
# difflib may take the cube of the number of words: larger pieces are not looked into.
MAX_WORDS = 250
MAX_CHARACTERS = 8 * MAX_WORDS
# Words that agree between two changes, but tell nothing: fewer characters than this.
SHORT = 6
WORDS = re.compile(r"\s+|[\u2e80-\U0003ffff]|[^\W\u2e80-\U0003ffff]+|[^\w\s]")


class RunKind(StrEnum):
    """What becomes of a run of characters on the way from the old text to the new one."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one kind; of a long run the first ones, and how many more it has."""

    kind: RunKind
    text: str
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Differences that lie together, with what is around them.

    Attributes:
        at: characters of the old text before the first difference.
        runs: what stays, goes and comes, in the order of the text.
    """

    at: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class TextDiff:
    """How to make one text from another.

    Attributes:
        hunks: the first differences.
        shown: differences in them.
        differences: differences in all.
        common: share of the longer text's characters that both have, 0 to 1.
        complete: whether all of the texts was aligned; else ``common`` is a lower bound.
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
    """Numbers of the gaps that are so close that their surroundings meet."""
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
    """What comes before a place, from the beginning of a word on."""
    start = max(floor, end - CONTEXT)
    found = text[start:end]
    return found if start == floor else re.sub(r"^\S{1,15}\s", "", found)


def _after(text: str, start: int, ceiling: int) -> str:
    """What comes behind a place, to the end of a word."""
    end = min(ceiling, start + CONTEXT)
    found = text[start:end]
    return found if end == ceiling else re.sub(r"\s\S{1,15}\Z", "", found)


def _runs(old: str, new: str) -> Iterator[Run]:
    """The runs of one gap: by words where it is small."""
    for same, old_part, new_part in _parts(old, new):
        if same:
            yield Run(RunKind.SAME, old_part)
        else:
            yield _cut(RunKind.REMOVED, old_part)
            yield _cut(RunKind.ADDED, new_part)


def _cut(kind: RunKind, text: str) -> Run:
    return Run(kind, text[:MAX_SHOWN], max(0, len(text) - MAX_SHOWN))


def _parts(old: str, new: str) -> Iterator[tuple[bool, str, str]]:
    """Whether a part stays, and how it reads before and after."""
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
