"""What a stage stands on is asked for once, when it begins, and holds until it ends."""

from dataclasses import replace

import pytest

from strata.jobs.runner.progress import QuietProgress
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.lineage.staleness import cut_files, ledger_files
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.pipelines.tables.other_corpora import origins_of
from strata.settings import Settings
from strata.storage.tables.tags import delete_tag, tag_corpus
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.counting_catalog import counted
from tests.support.sequential import sequential_context

TEXTS = library_texts(12, most_bytes=4000)
STAGES = {
    "shard": run_shard,
    "decontaminate": run_decontaminate,
    "dedup": run_dedup,
    "tokenize": run_tokenize,
    "compress": run_compress,
}
DEDUP = {
    "against": ["old@v1"],
    "decontaminate": ["quiz@v1"],
    "link": "direct",
    "survivor": ["longest"],
    "passages": "paragraph",
    "substring_words": 40,
    "audit_documents": 20,
}


def context_of(folder, name, run_id="run", **changed):
    settings = {"corpus": name, "warehouse": str(folder / "wh"), **changed}
    settings["inputs"] = [{"path": str(folder / f"in-{name}")}]
    return sequential_context(Settings(**settings), run_id)


def read(folder, name, texts):
    """Add texts to a corpus that others are compared with."""
    home = folder / f"in-{name}"
    home.mkdir(exist_ok=True)
    (home / f"part-{len(list(home.iterdir()))}.jsonl").write_bytes(json_lines(texts))
    context = context_of(folder, name, f"read-{name}")
    run_shard(context)
    return context.corpus


@pytest.fixture
def others(tmp_path):
    """The corpora that ours is compared with, each with a tag."""
    found = {"old": read(tmp_path, "old", TEXTS[:3]), "quiz": read(tmp_path, "quiz", TEXTS[8:9])}
    for corpus in found.values():
        tag_corpus(corpus, "v1")
    return found


@pytest.fixture
def web(tmp_path, others):
    """Surroundings of a stage of our corpus, whose documents are read."""
    # One that another corpus has, two that are equal, a benchmark item and a passage in others.
    texts = [TEXTS[0], TEXTS[4], TEXTS[5], TEXTS[5] + "\nmore", TEXTS[6] + TEXTS[8], TEXTS[9]]
    texts.append(f"{TEXTS[7]}\n{TEXTS[9]}")
    home = tmp_path / "in-web"
    home.mkdir()
    (home / "a.jsonl").write_bytes(json_lines(texts))
    # Compress has something to do: documents go to another tier, where clusters lie together.
    tiers = {"cold": {"url": str(tmp_path / "cold"), "codec": "gzip"}}
    changed = {
        "tokenize": {"train": {"vocab_size": 300}},
        "tiers": tiers,
        "tables": {"documents": "cold"},
        "compress": {"order": {"documents": "cluster"}},
    }

    def surroundings(run_id, **dedup):
        return context_of(tmp_path, "web", run_id, **changed | {"dedup": DEDUP | dedup})

    return surroundings


def reports(web, run_id):
    return {name: stage(web(run_id)) for name, stage in STAGES.items()}


def test_each_stage_asks_the_catalog_once_for_each_table(web):
    for name, stage in STAGES.items():
        context, catalog = counted(web("first"))

        report = stage(context)

        assert report.status is StageStatus.DONE, name
        assert set(catalog.asked.values()) == {1}, (name, catalog.asked)
        assert catalog.apart["check"] or name == "compress"
        assert catalog.apart["publish"] + catalog.apart["replace_files"], name


def test_dedup_that_makes_only_the_cuts_asks_once_for_each_table(web):
    for name in ("shard", "decontaminate", "dedup"):
        STAGES[name](web("first"))
    context, catalog = counted(web("second", passage_words=9))

    report = run_dedup(context)

    assert report.status is StageStatus.DONE
    assert report.details.clusters is None
    assert report.details.passages
    assert set(catalog.asked.values()) == {1}, catalog.asked


def test_each_stage_that_has_nothing_to_do_asks_once_and_changes_nothing(web):
    reports(web, "first")
    for name, stage in STAGES.items():
        context, catalog = counted(web("second"))

        report = stage(context)

        assert report.status is StageStatus.SKIPPED, name
        assert set(catalog.asked.values()) == {1}, (name, catalog.asked)
        assert not catalog.apart, name


class AtFirstStep(QuietProgress):
    """Does something once, when the first step of a stage begins."""

    def __init__(self, act):
        self._act = act
        self.acted = False

    def start(self, *_):
        if not self.acted:
            self.acted = True
            self._act()


def moved(tmp_path, others, name, texts):
    """An act that adds texts to another corpus and moves its tag to them."""

    def act():
        delete_tag(others[name], "v1")
        tag_corpus(read(tmp_path, name, texts), "v1")

    return act


def test_tag_of_a_reference_corpus_that_moves_in_mid_stage_is_the_one_of_the_beginning(
    web, tmp_path, others
):
    run_shard(web("first"))
    run_decontaminate(web("first"))
    context = web("first")
    begun = Upstream.of_dedup(context)
    progress = AtFirstStep(moved(tmp_path, others, "old", TEXTS[4:8]))

    report = run_dedup(replace(context, progress=progress))

    assert progress.acted
    assert report.key == begun.ledger_key
    assert report.details.against == {"old": 3}
    tables = {name: context.corpus.table(name) for name in ("edges", "clusters", "cuts")}
    origin = begun.references[0].origin
    assert origins_of(tables["edges"]) == origins_of(tables["clusters"]) == (origin,)
    assert {name: table.content_key for name, table in tables.items()} == {
        "edges": begun.edges_key,
        "clusters": begun.ledger_key,
        "cuts": begun.cuts_key,
    }
    # Only what the next run is compared with has the texts that came meanwhile.
    again = run_dedup(web("second"))
    assert again.key != report.key
    assert again.details.against == {"old": 7}
    assert again.removed["in_other_corpus"] > report.removed["in_other_corpus"]


def test_tag_of_benchmark_items_that_moves_in_mid_stage_is_the_one_of_the_beginning(
    web, tmp_path, others
):
    run_shard(web("first"))
    progress = AtFirstStep(moved(tmp_path, others, "quiz", TEXTS[9:10]))

    report = run_decontaminate(replace(web("first"), progress=progress))

    assert progress.acted
    assert (report.details.items, report.removed) == (1, {"contaminated": 1})
    again = run_decontaminate(web("second"))
    assert (again.details.items, again.removed) == (2, {"contaminated": 3})
    assert again.key != report.key


def test_upstream_answers_as_when_it_was_resolved(web, tmp_path):
    reports(web, "first")
    upstream = Upstream.of_tokenize(web("first"))
    names = ("documents", "clusters", "contained", "cuts", "tokens")
    before = {name: upstream.table(name).files() for name in names}
    removed, cut = ledger_files(upstream), cut_files(upstream)
    assert removed
    assert cut

    (tmp_path / "in-web" / "b.jsonl").write_bytes(json_lines(TEXTS[10:]))
    reports(web, "second")

    assert {name: upstream.table(name).files() for name in names} == before
    assert (ledger_files(upstream), cut_files(upstream)) == (removed, cut)
    assert web("second").corpus.table("documents").files() != before["documents"]
