"""Documents that another corpus has are removed, and the ledger names the document there."""

import pytest

from strata.errors import ConflictError, InputMissingError, SettingsError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.other_corpora import Origin, origins_of, reference_document
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.rows import exported, rows_of
from tests.support.sequential import sequential_context

TEXTS = library_texts(12, most_bytes=4000)
WORDY = [text + "\nand a few words more" for text in TEXTS]


def corpus(folder, name, texts, run_id="run", **dedup):
    home = folder / f"in-{name}"
    home.mkdir(exist_ok=True)
    part = len(list(home.iterdir()))
    if texts:
        (home / f"part-{part}.jsonl").write_bytes(json_lines(texts))
    settings = {"corpus": name, "warehouse": str(folder / "wh"), "dedup": dedup}
    context = sequential_context(Settings(inputs=[{"path": str(home)}], **settings), run_id)
    run_shard(context)
    return context


def doc_ids(context):
    return [row["doc_id"] for row in rows_of(context, "documents", ["doc_id"])]


@pytest.mark.parametrize(
    ("memory", "rules"),
    [
        ({}, ["first"]),
        ({}, ["source:in-web", "first"]),
        ({"memory_documents": 0}, ["longest"]),
    ],
)
def test_against_what_others_have_is_removed_whatever_the_rules(tmp_path, memory, rules):
    old = corpus(tmp_path, "old", TEXTS[:3])
    bench = corpus(tmp_path, "bench", [TEXTS[8], TEXTS[9]])
    # An exact copy, a longer near copy, two copies within, an item of the second corpus.
    web = [TEXTS[0], WORDY[1], TEXTS[5], TEXTS[5], TEXTS[9], TEXTS[7]]
    context = corpus(tmp_path, "web", web, against=["old", "bench"], survivor=rules, **memory)

    report = run_dedup(context)

    assert report.removed == {"exact": 1, "in_other_corpus": 3}
    own = doc_ids(context)
    origins = origins_of(context.corpus.table("clusters"))
    assert [origin.corpus for origin in origins] == ["old", "bench"]
    ledger = {
        own.index(doc_id): kept_id if kept_id >= 0 else reference_document(kept_id, origins)
        for doc_id, kept_id in map(dict.values, rows_of(context, "clusters", ["doc_id", "kept_id"]))
    }
    there = {name: doc_ids(other) for name, other in (("old", old), ("bench", bench))}
    named = {
        place: (kept.corpus, there[kept.corpus].index(kept.doc_id))
        for place, kept in ledger.items()
        if not isinstance(kept, int)
    }
    assert named == {0: ("old", 0), 1: ("old", 1), 4: ("bench", 1)}
    assert {place for place in ledger if place not in named} == {2, 3}
    assert report.details.against == {"old": 3, "bench": 2}


def test_against_export_names_the_document_and_its_corpus(tmp_path):
    corpus(tmp_path, "old", TEXTS[:3])
    context = corpus(tmp_path, "web", [TEXTS[1], TEXTS[5], TEXTS[5]], against=["old"])
    run_dedup(context)

    rows = exported(context, "clusters")

    assert [(row["id"], row["kept_id"], row["kept_corpus"]) for row in rows] == [
        ("doc-0", "doc-1", "old"),
        ("doc-1", "doc-1", None),
        ("doc-2", "doc-1", None),
    ]


def test_against_a_snapshot_later_documents_do_not_count(tmp_path):
    corpus(tmp_path, "old", TEXTS[:2])
    old = corpus(tmp_path, "old", TEXTS[2:4])
    web = TEXTS[:4]
    first = old.corpus.table("documents").snapshots()[0].snapshot_id
    context = corpus(tmp_path, "web", web, against=[f"old@{first}"])
    now = corpus(tmp_path, "web", [], "now", against=["old"])

    assert run_dedup(context).removed == {"in_other_corpus": 2}
    assert run_dedup(now).removed == {"in_other_corpus": 4}


def test_against_new_inputs_on_either_side(tmp_path):
    corpus(tmp_path, "old", TEXTS[:2])
    run_dedup(corpus(tmp_path, "web", [TEXTS[0], TEXTS[4]], against=["old"]))
    grown = corpus(tmp_path, "web", [TEXTS[1], TEXTS[4]], "grown", against=["old"])

    report = run_dedup(grown)

    assert report.details.new_documents == 2
    assert report.removed == {"exact": 1, "in_other_corpus": 2}
    assert run_dedup(grown).status is StageStatus.SKIPPED
    corpus(tmp_path, "old", [TEXTS[4]])
    again = run_dedup(grown)
    assert again.details.new_documents == 4
    assert again.removed == {"in_other_corpus": 4}


def test_against_the_own_earlier_state_removes_all_of_it(tmp_path):
    first = corpus(tmp_path, "web", TEXTS[:3])
    snapshot = first.corpus.table("documents").snapshots()[-1].snapshot_id
    later = corpus(tmp_path, "web", TEXTS[3:5], "later", against=[f"web@{snapshot}"])

    assert run_dedup(later).removed == {"in_other_corpus": 3}


@pytest.mark.parametrize(
    ("against", "kind", "told"),
    [
        ("nowhere", SettingsError, "no corpus 'nowhere'"),
        ("web", SettingsError, "the corpus web itself"),
        ("old@7", SettingsError, "no snapshot 7"),
        ("empty", InputMissingError, "no fingerprints"),
        ("other", ConflictError, "1-3"),
    ],
)
def test_against_what_cannot_be_compared_is_told(tmp_path, against, kind, told):
    corpus(tmp_path, "old", TEXTS[:1])
    corpus(tmp_path, "other", TEXTS[:1], ngram=3)
    empty = Settings(corpus="empty", warehouse=str(tmp_path / "wh"), inputs=[{"path": "x"}])
    sequential_context(empty).corpus.close()
    context = corpus(tmp_path, "web", TEXTS[:2], against=[against])

    with pytest.raises(kind, match=told):
        run_dedup(context)


def test_foreign_document_ids_of_many_corpora_are_told_apart():
    origins = (Origin("a", 1, -(1 << 63)), Origin("b", 2, -(1 << 63) + (5 << 37)))
    for origin, doc_id in [(origins[0], 0), (origins[0], (5 << 37) - 1), (origins[1], 0)]:
        found = reference_document(origin.shift + doc_id, origins)
        assert (found.corpus, found.snapshot, found.doc_id) == (
            origin.corpus,
            origin.snapshot,
            doc_id,
        )
    with pytest.raises(ConflictError):
        reference_document(-5, ())
