"""Clusters that are made on purpose: the ledger and the pairs are written as dedup would."""

from collections import Counter

import pyarrow as pa
import pytest

from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.explain import chain as cluster_lookup
from strata.pipelines.explain.cluster import ChainState, trace_clusters
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.lookup import TableLookup
from strata.pipelines.tables.names import DocumentNames
from strata.settings import LinkRule, Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.tables.publish import PublishMode, publish
from tests.support.corpora.texts import json_lines
from tests.support.sequential import sequential_context

STEM = "The first sentence is in all of these texts, which were copied from one another. "
TEXTS = [
    STEM + "This one says: " + " ".join(f"word{n}" for n in range(i, i + 60)) for i in range(9)
]
# A path 0 - 4 - 2 - 6 and a shorter way 0 - 6 from another cluster's point of view.
PATH = [(0, 4, 0.875, False), (2, 4, 0.8125, False), (2, 6, 1.0, True)]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    home = tmp_path_factory.mktemp("clusters")
    for name, texts in (("web", TEXTS), ("wiki", TEXTS[:2])):
        (home / name).mkdir()
        (home / name / "a.jsonl").write_bytes(json_lines(texts, 100 if name == "wiki" else 0))
    inputs = [{"path": str(home / "web")}, {"path": str(home / "wiki")}]
    context = sequential_context(Settings(corpus="web", warehouse=str(home / "wh"), inputs=inputs))
    run_shard(context)
    return context


@pytest.fixture(scope="module")
def ids(context):
    """Numbers of the documents: nine of web, two of wiki."""
    tables = TableLookup(context.corpus, context.store)
    names = [*(f"doc-{n}" for n in range(len(TEXTS))), "doc-100", "doc-101"]
    return [tables.ids_of(name)[0] for name in names]


@pytest.fixture
def traced(context, ids):
    """Publish clusters and pairs, given by places in ``ids``, and trace some documents."""

    def traced(clusters, pairs, asked, limit=10, link=LinkRule.CLUSTER):
        rows = [
            (ids[place], ids[kept], len(members), place == kept, "fuzzy", 0.875)
            for kept, members in clusters.items()
            for place in members
        ]
        write("clusters", sorted(rows))
        write("edges", sorted((ids[a], ids[b], s, e) for a, b, s, e in pairs))
        tables = TableLookup(context.corpus, context.store)
        columns = SCHEMAS["clusters"].names
        entries = tables.rows("clusters", columns, [ids[place] for place in asked])
        names = DocumentNames(context.corpus, context.store, tables, tables.inputs())
        found = trace_clusters(tables, names, entries, link, limit)
        return [found[ids[place]] for place in asked]

    def write(table, rows):
        columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMAS[table])
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMAS[table], strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[table])
        files = TableTarget.of(context, table).write(iter([batch]), "t").files
        publish(
            context.corpus.table(table),
            files,
            mode=PublishMode.OVERWRITE,
            content_key=f"key-{rows}",
            run_id="run",
        )

    return traced


def test_cluster_chain_leads_over_verified_pairs_to_the_survivor(traced, ids):
    (trace,) = traced({0: [0, 2, 4, 6]}, PATH, [6])
    assert trace.state is ChainState.FOUND
    told = [(step.doc_id, step.name.id, step.similarity, step.equal) for step in trace.chain]
    assert told == [
        (ids[2], "doc-2", 1.0, True),
        (ids[4], "doc-4", 0.8125, False),
        (ids[0], "doc-0", 0.875, False),
    ]
    assert {step.name.source for step in trace.chain} == {"web"}


def test_cluster_members_are_the_survivor_the_document_and_the_first_others(traced, ids):
    (trace,) = traced({4: [0, 2, 4, 6, 8]}, [(0, n, 0.9, False) for n in (2, 4, 6, 8)], [8], 4)
    assert [member.name.id for member in trace.members] == ["doc-4", "doc-8", "doc-0", "doc-2"]
    assert [member.kept for member in trace.members] == [True, False, False, False]
    assert trace.more == 1


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 50])
def test_cluster_limit_always_leaves_survivor_and_document(traced, limit):
    (trace,) = traced({0: [0, 2, 4, 6]}, PATH, [6], limit)
    assert [member.name.id for member in trace.members][:2] == ["doc-0", "doc-6"]
    assert len(trace.members) == min(4, max(2, limit))
    assert len(trace.members) + trace.more == 4
    assert len(trace.chain) + trace.chain_more == 3
    assert len(trace.chain) == min(3, limit)


def test_cluster_pairs_of_other_clusters_are_no_way(traced):
    # With linked = direct, pairs may lead out of a cluster.
    pairs = [*PATH, (0, 8, 0.9, False), (6, 8, 0.9, False)]
    (trace,) = traced({0: [0, 2, 4, 6], 8: [8]}, pairs, [6])
    assert [step.name.id for step in trace.chain] == ["doc-2", "doc-4", "doc-0"]


def test_cluster_of_direct_links_rests_on_the_pair_with_the_survivor(traced, ids):
    gone, kept = traced({0: [0, 2, 6]}, [], [6, 0], link=LinkRule.DIRECT)
    (step,) = gone.chain
    assert (step.doc_id, step.similarity, step.equal) == (ids[0], 0.875, False)
    assert gone.state is ChainState.FOUND
    assert (kept.state, kept.chain) == (ChainState.SURVIVOR, ())


def test_cluster_of_a_survivor_has_members_but_no_chain(traced):
    (trace,) = traced({0: [0, 2, 4, 6]}, PATH, [0])
    assert (trace.state, trace.chain, trace.comparison) == (ChainState.SURVIVOR, (), None)
    assert Counter(member.kept for member in trace.members) == {True: 1, False: 3}


def test_cluster_without_pairs_says_that_they_are_missing(traced):
    (trace,) = traced({0: [0, 2, 4, 6]}, PATH[:1], [6])
    assert (trace.state, trace.chain) == (ChainState.MISSING, ())
    assert trace.comparison.name.id == "doc-0"


@pytest.mark.parametrize(("bound", "most"), [("MAX_MEMBERS", 3), ("MAX_PAIRS", 2)])
def test_cluster_that_is_too_large_is_told_without_chain(traced, monkeypatch, bound, most):
    monkeypatch.setattr(cluster_lookup, bound, most)
    (trace,) = traced({0: [0, 2, 4, 6]}, PATH, [6])
    assert (trace.state, trace.chain) == (ChainState.TOO_LARGE, ())
    assert trace.members[0].name.id == "doc-0"
    assert len(trace.members) + trace.more == 4


def test_cluster_members_of_another_source_are_named(traced):
    (trace,) = traced({9: [1, 9]}, [(1, 9, 1.0, True)], [1])
    assert [(m.name.id, m.name.source) for m in trace.members] == [
        ("doc-100", "wiki"),
        ("doc-1", "web"),
    ]


def test_comparison_is_with_the_survivor_where_that_is_as_near(traced, ids):
    (trace,) = traced({9: [0, 9]}, [(0, 9, 1.0, True)], [0])
    assert trace.comparison.name.id == "doc-100"
    assert trace.comparison.diff.differences == 0


def test_comparison_is_with_the_next_of_the_chain_where_that_is_nearer(traced):
    (trace,) = traced({0: [0, 1, 8]}, [(0, 1, 0.9, False), (1, 8, 0.9, False)], [8])
    assert trace.comparison.name.id == "doc-1"
    runs = [run for hunk in trace.comparison.diff.hunks for run in hunk.runs]
    assert any("word67" in run.text for run in runs if run.kind == "added")


def test_comparison_passes_over_documents_that_equal_the_one_asked_for(traced):
    pairs = [(0, 1, 0.9, False), (1, 2, 0.9, False), (2, 8, 1.0, True)]
    (trace,) = traced({0: [0, 1, 2, 8]}, pairs, [8])
    assert [step.name.id for step in trace.chain] == ["doc-2", "doc-1", "doc-0"]
    assert trace.comparison.name.id == "doc-1"
    equal = [(0, 1, 1.0, True), (1, 8, 1.0, True)]
    (trace,) = traced({0: [0, 1, 8]}, equal, [8])
    assert trace.comparison.name.id == "doc-0"


def test_clusters_of_several_documents_are_each_their_own(traced):
    first, second = traced({0: [0, 2, 4, 6], 1: [1, 3]}, [*PATH, (1, 3, 0.9, False)], [3, 2])
    assert [member.name.id for member in first.members] == ["doc-1", "doc-3"]
    assert [member.name.id for member in second.members] == ["doc-0", "doc-2", "doc-4", "doc-6"]
