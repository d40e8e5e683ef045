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
