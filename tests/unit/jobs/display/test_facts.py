import pytest

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.runner.options import OutputForm

URL = "s3://archive/corpora/web/tokens/data/tokenize-00000-8-0-01a219bfe4e97d.zstd-3.parquet"
FACTS = CommandResult(
    "files",
    ("table", "rows", "detail", "url"),
    [
        {"table": "tokens", "rows": 5, "detail": "a\nb", "url": URL},
        {"table": "clean", "rows": 12_000, "detail": None, "url": URL},
    ],
    {"count": 2},
    "files: {count}",
)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")


def shown(capsys):
    print_result(FACTS, output=OutputForm.TEXT)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_facts_a_narrow_terminal_gets_long_cells_below_their_rows(terminal, capsys):
    lines = shown(capsys)
    assert lines[2:] == [
        "  tokens        5   a\\nb",
        f"      url: {URL}",
        "  clean    12,000",
        f"      url: {URL}",
        "files: 2",
    ]


def test_facts_a_pipe_gets_one_line_a_row(capsys):
    lines = shown(capsys)
    assert [URL in line for line in lines] == [False, False, True, True, False]


COUNTED = CommandResult(
    "files",
    ("table", "tier", "rows", "bytes_written", "url"),
    [
        {"table": "clean", "tier": "hot", "rows": n, "bytes_written": 1_500_000, "url": URL}
        for n in (1, 2)
    ]
    + [{"table": "clean", "tier": "cold", "rows": 4, "bytes_written": None, "url": URL}],
    {"count": 3},
    "files: {count}",
    by=("table", "tier"),
)


def test_facts_long_lists_are_counted_first_and_listed_on_demand(capsys):
    print_result(COUNTED, output=OutputForm.TEXT)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["table", "tier", "files", "rows", "MB", "written"]
    assert lines[2:] == [
        ["clean", "hot", "2", "3", "3.00"],
        ["clean", "cold", "1", "4", "0.00"],
        ["files:", "3"],
    ]
    print_result(COUNTED, output=OutputForm.TEXT, listed=True)
    assert capsys.readouterr().out.count(URL) == 3
    print_result(COUNTED, output=OutputForm.JSON)
    assert capsys.readouterr().out.count(URL) == 3


def test_facts_every_column_of_bytes_is_in_mb(capsys):
    row = {"table": "clean", "bytes_written": 2_500_000, "bytes": 1_000}
    print_result(CommandResult("tables", tuple(row), [row]), output=OutputForm.TEXT)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["table", "MB", "written", "MB"]
    assert lines[2] == ["clean", "2.50", "0.00"]
