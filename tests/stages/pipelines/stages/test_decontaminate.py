"""Documents that contain benchmark items are found, told and removed."""

import io
import random
from dataclasses import replace

import pytest
from rich.console import Console

from strata.errors import ConflictError, InputMissingError, SettingsError
from strata.jobs.command.arguments import all_overrides, stage_parser
from strata.jobs.explain_document import explain_document
from strata.jobs.planning.dry_run import plan_facts
from strata.jobs.report.summary import show_summary
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.explain.document import trace_document
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.rows import exported
from tests.support.sequential import sequential_context

TEXTS = library_texts(8, most_bytes=4000)
TRAIN = {"train": {"vocab_size": 300, "sample_mb": 0.1}}
RNG = random.Random(1)
WORDS = [f"w{number}" for number in range(400)]
ITEMS = [" ".join(RNG.choices(WORDS, k=20)) for _ in range(6)]


def context_of(folder, name, run_id="run", **sections):
    given = {"corpus": name, "warehouse": str(folder / "wh"), "tokenize": TRAIN, **sections}
    return sequential_context(
        Settings(inputs=[{"path": str(folder / f"in-{name}")}], **given), run_id
    )


def put(folder, name, texts):
    home = folder / f"in-{name}"
    home.mkdir(exist_ok=True)
    part = len(list(home.iterdir()))
    (home / f"part-{part}.jsonl").write_bytes(json_lines(texts, 100 * part))


@pytest.fixture
def bench(tmp_path):
    """A corpus of six items and two that are too short."""
    put(tmp_path, "bench", [*ITEMS, "What is this?", "..."])
    context = context_of(tmp_path, "bench")
    run_shard(context)
    return context


@pytest.fixture
def texts():
    """Documents of which the second, fourth and fifth contain items."""
    half = " ".join(ITEMS[3].split()[:8])
    return [
        TEXTS[0],
        f"{TEXTS[1]} {ITEMS[0].upper()} {TEXTS[1]}",
        f"{TEXTS[2]} {half} {TEXTS[2]}",
        f"{ITEMS[1]}, {ITEMS[2]}! {TEXTS[3]} {ITEMS[1]}",
        ITEMS[0],
        TEXTS[4],
    ]


def web(folder, texts, run_id="run", **dedup):
    put(folder, "web", texts) if texts else None
    dedup = {"decontaminate": ["bench"], **dedup}
    context = context_of(folder, "web", run_id, dedup=dedup)
    run_shard(context)
    return context


def pairs(context):
    return [(row["id"], row["other_id"]) for row in exported(context, "contained")]


FOUND = [("doc-1", "doc-0"), ("doc-3", "doc-1"), ("doc-3", "doc-2"), ("doc-4", "doc-0")]


def test_decontaminate_documents_with_items_are_told_and_removed(tmp_path, bench, texts):
    context = web(tmp_path, texts)

    report = run_decontaminate(context)

    assert pairs(context) == FOUND
    assert (report.rows_in, report.rows_out, report.removed) == (6, 3, {"contaminated": 3})
    assert (report.details.items, report.details.items_too_short) == (6, 2)
    assert report.details.documents_by_corpus == {"bench": 3}
    assert report.details.items_found == {"bench": 3}
    assert report.details.top_items == {
        "bench: doc-0": 2,
        "bench: doc-1": 1,
        "bench: doc-2": 1,
    }
    assert report.details.top_documents == {"doc-3": 2, "doc-1": 1, "doc-4": 1}
    run_dedup(context)
    tokens = run_tokenize(context)
    assert tokens.removed == {"contaminated": 3}
    assert [row["id"] for row in exported(context, "documents")] == ["doc-0", "doc-2", "doc-5"]


def test_decontaminate_row_tells_share_number_and_sample(tmp_path, bench, texts):
    edited = ITEMS[5].split()
    edited[15] = "other"
    context = web(tmp_path, [f"before it\n{' '.join(edited)}. After it"])

    run_decontaminate(context)

    (row,) = exported(context, "contained")
    # Of 13 n-grams of eight words, the five with the sixteenth word are gone.
    assert (row["matched"], row["containment"]) == (8, pytest.approx(8 / 13))
    assert row["sample"] == " ".join(edited[:15])


def test_decontaminate_duplicate_of_a_contaminated_one_counts_once(tmp_path, bench, texts):
    context = web(tmp_path, [*texts, texts[1]])

    run_decontaminate(context)
    run_dedup(context)
    tokens = run_tokenize(context)

    assert tokens.removed == {"duplicate": 1, "contaminated": 3}


def test_decontaminate_again_skipped_and_new_documents_alone_are_searched(tmp_path, bench, texts):
    run_decontaminate(web(tmp_path, texts[:3]))
    again = run_decontaminate(web(tmp_path, [], "again"))
    context = web(tmp_path, texts[3:], "more")

    report = run_decontaminate(context)

    assert again.status is StageStatus.SKIPPED
    assert report.details.searched_documents == 3
    assert (report.rows_in, report.removed) == (6, {"contaminated": 3})
    assert pairs(context) == [
        ("doc-1", "doc-0"),
        ("doc-100", "doc-1"),
        ("doc-100", "doc-2"),
        ("doc-101", "doc-0"),
    ]


def test_decontaminate_after_compaction_of_documents_and_items_skipped(tmp_path, bench, texts):
    run_decontaminate(web(tmp_path, texts))
    tier = {"tiers": {"t": {"url": str(tmp_path / "t"), "codec": "lz4"}}}
    moved = context_of(tmp_path, "bench", "move", **tier, tables={"documents": "t"})
    assert "documents" in run_compress(moved).details.tables

    assert run_decontaminate(web(tmp_path, [], "again")).status is StageStatus.SKIPPED


def test_decontaminate_other_items_or_settings_everything_searched(tmp_path, bench, texts):
    run_decontaminate(web(tmp_path, texts))
    strict = run_decontaminate(web(tmp_path, [], "strict", containment=0.05))
    put(tmp_path, "bench", [" ".join(TEXTS[4].split()[:30])])
    run_shard(context_of(tmp_path, "bench", "more"))
    context = web(tmp_path, [], "more")

    report = run_decontaminate(context)

    assert strict.details.searched_documents == report.details.searched_documents == 6
    assert strict.removed == {"contaminated": 4}
    assert pairs(context) == [*FOUND, ("doc-5", "doc-100")]


def test_decontaminate_at_snapshot_items_of_then(tmp_path, bench, texts):
    (first,) = bench.corpus.table("documents").snapshots()
    put(tmp_path, "bench", [" ".join(TEXTS[4].split()[:30])])
    run_shard(context_of(tmp_path, "bench", "more"))
    context = web(tmp_path, texts, decontaminate=[f"bench@{first.snapshot_id}"])

    run_decontaminate(context)

    assert pairs(context) == FOUND


def test_decontaminate_switched_off_removes_nothing_any_more(tmp_path, bench, texts):
    run_decontaminate(web(tmp_path, texts))
    context = web(tmp_path, [], "off", decontaminate=[])
    run_dedup(context)
    with pytest.raises(ConflictError, match="`contained`"):
        run_tokenize(context)

    report = run_decontaminate(context)

    assert (report.rows_in, report.rows_out) == (6, 6)
    assert run_tokenize(context).rows_out == 6
    assert run_decontaminate(context) is None


def test_decontaminate_never_on_reads_and_publishes_nothing(tmp_path, texts):
    context = web(tmp_path, texts, decontaminate=[])

    assert run_decontaminate(context) is None
    assert "contained" not in context.corpus.existing_tables()


def test_decontaminate_short_items_if_asked_for(tmp_path, bench, texts):
    context = web(tmp_path, ["I wonder: WHAT is\nthis?", "is this what"], contain_words=1)

    report = run_decontaminate(context)

    assert pairs(context) == [("doc-0", "doc-6")]
    assert report.details.items_too_short == 1


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        (["nothing"], SettingsError, "no corpus 'nothing'.*bench, empty, web"),
        (["bench@12"], SettingsError, "no snapshot 12 .*its snapshots are: "),
        (["web"], SettingsError, "is the one to decontaminate"),
        (["bench", "bench@1"], SettingsError, "twice"),
        (["empty"], InputMissingError, "empty holds no documents"),
    ],
)
def test_decontaminate_corpus_that_cannot_be_used_refused(
    tmp_path, bench, texts, names, error, said
):
    context_of(tmp_path, "empty")
    with pytest.raises(error, match=said):
        run_decontaminate(web(tmp_path, texts, decontaminate=names))


def test_decontaminate_more_ngrams_than_allowed_refused(tmp_path, bench, texts):
    context = web(tmp_path, texts, contain_limit=20)

    with pytest.raises(SettingsError, match=r"more than 20 n-grams.*contain_limit"):
        run_decontaminate(context)


def test_tokenize_after_items_changed_refused(tmp_path, bench, texts):
    context = web(tmp_path, texts)
    run_decontaminate(context)
    run_dedup(context)
    settings = context.settings
    dedup = settings.dedup.model_copy(update={"containment": 0.9})
    changed = replace(context, settings=settings.model_copy(update={"dedup": dedup}))

    with pytest.raises(ConflictError, match="`contained` does not belong"):
        run_tokenize(changed)


def test_plan_tells_of_decontamination_where_items_are_named(tmp_path, bench, texts):
    context = web(tmp_path, texts)
    before = plan_facts(context.settings)["stages"]["decontaminate"]
    run_decontaminate(context)

    assert before == "would run"
    assert plan_facts(context.settings)["stages"]["decontaminate"] == "up to date"
    assert "decontaminate" not in plan_facts(bench.settings)["stages"]


def test_summary_tells_how_many_documents_contain_items(tmp_path, bench, texts):
    report = RunReport("run", "dedup", "web", "")
    report.stages = [run_decontaminate(web(tmp_path, texts))]
    told = io.StringIO()

    show_summary(report, Console(file=told, width=100))

    assert "note: 3 documents contain 3 items of bench\n" in told.getvalue()


def test_flag_decontaminate_means_the_setting():
    parser = stage_parser("dedup", "")
    flags = ["--decontaminate", "a", "--decontaminate", "b@7"]
    arguments = parser.parse_args(["--conf-file", "f.toml", *flags])

    assert all_overrides(arguments) == ['dedup.decontaminate=["a", "b@7"]']


def test_retract_rows_of_contained_go_and_a_new_survivor_with_an_item_stays_out(
    tmp_path, bench, texts
):
    # Of the last two, whose texts are equal, the second one survives once the first is retracted.
    context = web(tmp_path, [*texts[:4], TEXTS[5], texts[1] + " x", TEXTS[5]])
    run_decontaminate(context)
    run_dedup(context)
    run_tokenize(context)
    taken = tuple(Selector(SelectorKind.ID, name) for name in ("doc-1", "doc-3", "doc-4"))

    run_retract(web(tmp_path, [], "retract"), RetractRequest(taken))

    later = web(tmp_path, [], "later")
    stages = (run_decontaminate, run_dedup, run_tokenize)
    assert {stage(later).status for stage in stages} == {StageStatus.SKIPPED}
    assert pairs(later) == [("doc-5", "doc-0")]
    assert [row["id"] for row in exported(later, "documents")] == ["doc-0", "doc-2", "doc-6"]
    assert len(exported(later, "tokens")) == 3


def test_explain_tells_the_items_that_a_document_contains(tmp_path, bench, texts, capsys):
    context = web(tmp_path, texts)
    run_decontaminate(context)

    trace = trace_document(context, "doc-3")
    explain_document(context.settings, "doc-3", 10, output=OutputForm.TEXT)

    items = trace.documents[0].items
    assert items.number == 2
    assert [(match.id, match.containment) for match in items.best] == [("doc-1", 1), ("doc-2", 1)]
    assert items.best[0].sample == ITEMS[1][:200]
    line = f"items      contains 2 benchmark items, most of doc-1 of bench (1.00): {ITEMS[1]}"
    assert line in capsys.readouterr().out
    assert trace_document(context, "doc-0").documents[0].items.number == 0


def test_passages_of_a_contaminated_document_are_no_first_occurrence(tmp_path, bench):
    line = "this line of more than eight words stands in both of the documents"
    documents = [f"{ITEMS[0]}\n{line}\n", f"{TEXTS[0]}\n{line}\n", f"{TEXTS[1]}\n{line}\n"]
    context = web(tmp_path, documents, passages="line")
    for stage in (run_decontaminate, run_dedup, run_tokenize):
        stage(context)

    kept = {row["id"]: row["text"] for row in exported(context, "documents")}

    assert [(name, line in text) for name, text in kept.items()] == [
        ("doc-1", True),
        ("doc-2", False),
    ]
    again = [stage(context).status for stage in (run_decontaminate, run_dedup, run_tokenize)]
    assert set(again) == {StageStatus.SKIPPED}
