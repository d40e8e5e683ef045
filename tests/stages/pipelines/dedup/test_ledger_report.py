import pytest

from strata.pipelines.dedup.ledger_report import LINE, first_line
from strata.pipelines.execution.details import DuplicateFacts, SizeClass, SourceMatrix
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.sequential import sequential_context

TEXTS = library_texts(6, most_bytes=6000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo", "one"),
        ("\n \n---\n  a\t title \u2028rest", "a title"),
        ("--- ***\n", "--- ***"),
        ("", ""),
        ("漢字\n", "漢字"),
        ("x" * 500, "x" * LINE),
        (" " * 5000 + "late", ""),
    ],
)
def test_first_line_has_a_word_and_is_short(text, line):
    assert first_line(text) == line


def context_of(folder, sources, **sections):
    inputs = []
    for name, texts in sources.items():
        (folder / name).mkdir()
        (folder / name / "a.jsonl").write_bytes(json_lines(texts))
        inputs.append({"path": str(folder / name)})
    return sequential_context(
        Settings(corpus="web", warehouse=str(folder / "wh"), inputs=inputs, **sections)
    )


def test_dedup_report_tells_sizes_largest_clusters_and_sources(tmp_path):
    near = [TEXTS[0] + f"\nand word number {n}" for n in range(3)]
    sources = {"web": [*TEXTS, TEXTS[1]], "wiki": [*near, TEXTS[2]], "code": ["only one"]}
    context = context_of(tmp_path, sources)
    run_shard(context)
    report = run_dedup(context)
    told = report.details.duplicates
    assert told.sizes == (
        SizeClass(2, 3, 2, 2),
        SizeClass(4, 7, 1, 3),
    )
    assert [(each.size, each.id) for each in told.largest] == [
        (4, "doc-0"),
        (2, "doc-1"),
        (2, "doc-2"),
    ]
    assert told.largest[0].source == "web"
    assert told.largest[0].sample == first_line(TEXTS[0])
    assert told.sources == SourceMatrix(("web", "wiki"), ((1, 0), (4, 0)))
    assert sum(map(sum, told.sources.removed)) == sum(report.removed.values())


def test_dedup_report_counts_what_reading_samples_costs(tmp_path):
    context = context_of(tmp_path, {"web": [TEXTS[0], TEXTS[0]]})
    run_shard(context)
    (documents,) = context.corpus.table("documents").files()
    assert run_dedup(context).counters.io.bytes_read >= documents.n_bytes


def test_dedup_report_of_a_corpus_without_duplicates_is_empty(tmp_path):
    context = context_of(tmp_path, {"web": TEXTS})
    run_shard(context)
    told = run_dedup(context).details.duplicates
    assert told == DuplicateFacts((), (), SourceMatrix((), ()))
