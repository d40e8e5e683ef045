import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "decisions"
NAME = re.compile(r"\d{4}-[a-z0-9]+(?:-[a-z0-9]+)*\.md")
TITLE = re.compile(r"# (\d+)\. (.+)")
HEAD = re.compile(r"\*\*Date\*\*: (\S+) · \*\*Status\*\*: (.+)")
ROW = re.compile(r"\| (\d+) \| \[(.+)\]\((\S+)\) \| (\S+) \| (.+) \|")
SUPERSEDED = re.compile(r"superseded by \[decision (\d+)\]\((\S+)\)")


@dataclass(frozen=True)
class Decision:
    number: int
    title: str
    file: str
    date: str
    status: str


def from_file(file: Path) -> Decision:
    """A decision by its own page: title, blank line, date and status."""
    title, blank, head = file.read_text("utf-8").splitlines()[:3]
    named, dated = TITLE.fullmatch(title), HEAD.fullmatch(head)
    assert named, f"{file.name} begins with {title!r}, not with '# NUMBER. TITLE'"
    assert dated, f"{file.name} has no line '**Date**: … · **Status**: …' below its title"
    assert blank == ""
    return Decision(int(named[1]), named[2], file.name, dated[1], dated[2])


FILES = [from_file(file) for file in sorted(FOLDER.glob("*.md")) if file.name != "index.md"]
INDEX = [
    Decision(int(row[1]), row[2], row[3], row[4], row[5])
    for row in map(ROW.fullmatch, (FOLDER / "index.md").read_text("utf-8").splitlines())
    if row
]


def test_decisions_have_a_number_each():
    # Numbers are given out before the pages are written, so there may be gaps for a while.
    assert len({each.number for each in FILES}) == len(FILES)


def test_index_has_each_decision_once_as_its_page_has_it():
    assert sorted(INDEX, key=lambda each: each.number) == FILES


@pytest.mark.parametrize("decision", FILES, ids=lambda each: each.file)
def test_decision_has_name_date_and_status(decision):
    assert NAME.fullmatch(decision.file)
    assert int(decision.file[:4]) == decision.number
    assert datetime.date.fromisoformat(decision.date)
    by = SUPERSEDED.fullmatch(decision.status)
    assert by or decision.status == "accepted"
    if by:
        later = FILES[int(by[1]) - 1]
        assert later.number > decision.number
        assert by[2] == later.file
