import io
import re
from html import unescape

import msgspec
import pytest
from rich.console import Console

from strata.jobs.report.duplicates import LABEL, duplicates_of, show_duplicates
from strata.jobs.report.page import render_page
from strata.jobs.runner.run import RunReport
from strata.pipelines.dedup.ledger_report import MAX_LARGEST_CLUSTERS, MAX_REPORTED_SOURCES
from strata.pipelines.execution.details import DedupDetails, DuplicateFacts
from strata.pipelines.execution.stage import StageReport, StageStatus

EVIL = "[red]<script>\x1b\u202e"
SHOWN = "[red]<script>\\x1b\\u202e"


def size_class(power, clusters, removed):
    return {
        "least": 1 << power,
        "most": (2 << power) - 1,
        "clusters": clusters,
        "removed": removed,
    }


def cluster(size, **changes):
    facts = {"size": size, "doc_id": size, "id": f"doc-{size}", "source": "web", "sample": "Hello"}
    return facts | changes


def facts(**changes):
    told = {
        "sizes": [size_class(1, 300, 400), size_class(2, 0, 0), size_class(3, 10, 100)],
        "largest": [cluster(15), cluster(9, source="wiki", sample="A line")],
        "sources": {"names": ["web", "wiki"], "removed": [[400, 0], [99, 1]]},
    }
    return told | changes


def report(told):
    details = DedupDetails(clusters=310, duplicates=msgspec.convert(told, DuplicateFacts))
    stage = StageReport("dedup", "key", details=details)
    whole = RunReport("r", "run", "c", "", status="done", stages=[StageReport("shard", "k"), stage])
    # As it is read again from its file.
    return RunReport.from_json(whole.to_json())


def printed(told, width=96):
    out = io.StringIO()
    show_duplicates(duplicates_of(report(told)), Console(width=width, file=out))
    return out.getvalue()


def test_duplicates_of_a_run_are_bars_matrix_and_clusters():
    found = duplicates_of(report(facts()))
    assert [(bar.label, bar.clusters, bar.removed, bar.share) for bar in found.sizes] == [
        ("2–3", 300, 400, 1.0),
        ("4–7", 0, 0, 0.0),
        ("8–15", 10, 100, 0.25),
    ]
    assert [(row.name, row.removed, row.total) for row in found.matrix] == [
        ("web", (400, 0), 400),
        ("wiki", (99, 1), 100),
    ]
    assert [row.strengths for row in found.matrix] == [
        (1.0, 0.0),
        pytest.approx(((99 / 400) ** 0.5, 0.05)),
    ]
    assert [each.size for each in found.largest] == [15, 9]


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [StageReport("dedup", "", StageStatus.SKIPPED)],
        [StageReport("dedup", "old", details=DedupDetails(clusters=3))],
    ],
)
def test_duplicates_of_a_run_that_tells_none_are_none(stages):
    assert duplicates_of(RunReport("r", "run", "c", "", status="done", stages=stages)) is None


def test_duplicates_of_a_corpus_without_any_are_none():
    empty = {"sizes": [], "largest": [], "sources": {"names": [], "removed": []}}
    assert duplicates_of(report(empty)) is None


def test_duplicates_long_names_of_sources_keep_beginning_and_end():
    names = ["a" * 50 + "-2026-10", "a" * 50 + "-2026-18"]
    told = facts(sources={"names": names, "removed": [[1, 0], [0, 1]]})
    rows = duplicates_of(report(told)).matrix
    assert [len(row.label) for row in rows] == [LABEL] * 2
    assert [row.label[-8:] for row in rows] == ["-2026-10", "-2026-18"]
    assert [row.name for row in rows] == names


def test_page_shows_duplicates_once():
    page = render_page(report(facts()), [])
    assert page.count("<h2>Duplicates</h2>") == 1
    details = page.partition("<h2>Details</h2>")[2]
    assert "clusters" in details
    assert "least" not in details
    assert "duplicates" not in details
    matrix = page.partition('<table class="matrix">')[2].partition("</table>")[0]
    cells = re.findall(r"--strength: ([\d.]+)\"[^>]*><span>(.*?)</span>", matrix)
    assert [strength for strength, _ in cells] == ["1.000", "0.000", "0.497", "0.050"]
    assert [unescape(re.sub("<.*?>", "", text)) for _, text in cells] == ["400", "·", "99", "1"]
    assert 'title="99 of wiki for web"' in matrix


def test_page_without_duplicates_has_no_section_of_them():
    run = RunReport("r", "run", "c", "", status="done", stages=[StageReport("dedup", "k")])
    assert "Duplicates" not in render_page(run, [])


def evil_facts():
    largest = [cluster(4, id=EVIL, source=EVIL, sample=EVIL)]
    return facts(largest=largest, sources={"names": [EVIL], "removed": [[500]]})


def test_page_shows_texts_of_documents_as_they_are_and_harmless():
    page = render_page(report(evil_facts()), [])
    assert "<script" not in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert unescape(page).count(SHOWN) >= 5


def test_terminal_shows_texts_of_documents_as_they_are_and_harmless():
    told = printed(evil_facts())
    assert told.count(SHOWN) == 4
    assert not {"\x1b", "\u202e"} & set(told)


def test_terminal_shows_sizes_matrix_and_clusters():
    lines = [" ".join(line.split()) for line in printed(facts()).splitlines()]
    assert f"2–3 300 400 {'█' * 32}" in lines
    assert f"8–15 10 100 {'█' * 8}" in lines
    assert "4–7 0 0" in lines
    assert "2 wiki 99 1 100" in lines
    assert "15 doc-15 web Hello" in lines


@pytest.mark.parametrize("width", [60, 96, 200])
def test_terminal_figures_of_many_sources_are_never_cut(width):
    names = [f"source-{n}-{'x' * 60}" for n in range(MAX_REPORTED_SOURCES + 1)]
    removed = [[999_949_999] * len(names)] * len(names)
    largest = [
        cluster(10**9 + n, id="q" * 300, sample="z" * 120) for n in range(MAX_LARGEST_CLUSTERS)
    ]
    told = printed(facts(largest=largest, sources={"names": names, "removed": removed}), width)
    assert told.count("999.9 M") == len(names) ** 2
    assert told.count("13.0 G") == len(names)
    assert all(f"{each['size']:,}" in told for each in largest)
    assert told.count("q") == 300 * MAX_LARGEST_CLUSTERS


def test_terminal_cuts_samples_rather_than_ids():
    largest = [cluster(97, id="0123456789abcdef", source="books", sample="z" * 120)]
    line = next(line for line in printed(facts(largest=largest)).splitlines() if "zzz" in line)
    assert line.split()[:3] == ["97", "0123456789abcdef", "books"]
    assert line.split()[3].endswith("z…")
