import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.election import Attributes, ledger_rows, needs_attributes, rank
from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA
from strata.storage.layout.schemas import SCHEMAS

SOURCES = ["web", "wiki", "books", "code"]
RULES = [
    ("first",),
    ("longest",),
    ("longest", "first"),
    ("source:wiki,web",),
    ("source: wiki , web ", "longest", "first"),
    ("longest", "source:code"),
    ("first", "longest"),
]


def edge_table(edges):
    columns = list(zip(*edges, strict=True)) if edges else [[], [], [], []]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, EDGE_SCHEMA, strict=True)], schema=EDGE_SCHEMA
    )


def attributes_of(documents):
    return Attributes(
        np.array(sorted(documents), np.int64),
        np.array([documents[d][0] for d in sorted(documents)], np.int64),
        np.array([documents[d][1] for d in sorted(documents)], object),
    )


def closure(pairs):
    """Naive components: sets that grow until nothing changes."""
    groups = [set(pair) for pair in pairs]
    merged = True
    while merged:
        merged = False
        for first in groups:
            for second in groups:
                if first is not second and first & second:
                    first |= second
                    groups.remove(second)
                    merged = True
                    break
            if merged:
                break
    return groups


def better(rules, documents, doc_id):
    """Python's own ordering of the survivor rules; the smallest survives."""
    key = []
    for rule in rules:
        if rule == "first":
            break
        if rule == "longest":
            key.append(-documents[doc_id][0])
        else:
            names = [name.strip() for name in rule.removeprefix("source:").split(",")]
            source = documents[doc_id][1]
            key.append(names.index(source) if source in names else len(names))
    return (*key, doc_id)


def naive_ledger(edges, rules, documents):
    texts = closure([(a, b) for a, b, _, equal in edges if equal])
    rows = []
    for cluster in closure([(a, b) for a, b, _, _ in edges]):
        kept = min(cluster, key=lambda doc_id: better(rules, documents, doc_id))
        same = next((text for text in texts if kept in text), {kept})
        for doc_id in cluster:
            exact = cluster <= same if doc_id == kept else doc_id in same
            strongest = max(s for a, b, s, _ in edges if doc_id in (a, b))
            rows.append((doc_id, kept, len(cluster), doc_id == kept, exact, strongest))
    return sorted(rows)


def random_graph(seed):
    """Edges among documents of few different texts, equal where the texts are."""
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(0, 2**62, 30)).tolist()
    text = {doc_id: int(rng.integers(0, 15)) for doc_id in ids}
    # Documents of the same text have the same length, but not the same source.
    length = rng.integers(1, 4, 15)
    documents = {d: (int(length[text[d]]), SOURCES[rng.integers(0, 4)]) for d in ids}
    edges = []
    for _ in range(int(rng.integers(0, 25))):
        a, b = sorted(rng.choice(len(ids), 2, replace=False))
        if text[ids[a]] != text[ids[b]]:
            edges.append((ids[a], ids[b], float(np.float32(rng.uniform(0.8, 1))), False))
    for number in set(text.values()):
        first, *rest = [doc_id for doc_id in ids if text[doc_id] == number]
        edges += [(first, other, 1.0, True) for other in rest]
    return edges, documents


@pytest.mark.parametrize("rules", RULES)
def test_ledger_random_graphs_equal_the_naive_ledger(rules):
    for seed in range(25):
        edges, documents = random_graph(seed)
        attributes = attributes_of(documents) if needs_attributes(rules) else None
        ledger = ledger_rows(edge_table(edges), rules, attributes)
        found = zip(
            *(ledger.column(n).to_pylist() for n in ("doc_id", "kept_id", "cluster_size", "kept")),
            [method == "exact" for method in ledger.column("method").to_pylist()],
            ledger.column("similarity").to_pylist(),
            strict=True,
        )
        assert list(found) == naive_ledger(edges, rules, documents)


def test_ledger_order_and_repetition_of_edges_do_not_matter():
    edges, documents = random_graph(3)
    rules, attributes = ("source:wiki", "longest"), attributes_of(documents)
    ledger = ledger_rows(edge_table(edges), rules, attributes)
    again = ledger_rows(edge_table([*reversed(edges), *edges]), rules, attributes)
    assert again.equals(ledger)


def test_ledger_is_typed_and_sorted_by_document():
    ledger = ledger_rows(edge_table(random_graph(4)[0]), ("first",), None)
    doc_ids = ledger.column("doc_id").to_numpy()
    assert ledger.schema.equals(SCHEMAS["clusters"], check_metadata=True)
    assert (np.diff(doc_ids) > 0).all()


@pytest.mark.parametrize("rules", [("first",), ("longest", "first"), ("source:a",)])
def test_ledger_without_edges_is_empty(rules):
    ledger = ledger_rows(edge_table([]), rules, attributes_of({}))
    assert ledger.num_rows == 0
    assert ledger.schema.equals(SCHEMAS["clusters"])


def test_ledger_exact_copy_of_a_removed_document_is_fuzzy_to_the_survivor():
    edges = [(1, 2, 0.9, False), (2, 3, 1.0, True)]
    ledger = ledger_rows(edge_table(edges), ("first",), None)
    assert ledger.column("method").to_pylist() == ["fuzzy", "fuzzy", "fuzzy"]
    assert ledger.column("kept_id").to_pylist() == [1, 1, 1]


def test_ledger_copies_of_the_survivor_are_exact_beside_a_fuzzy_neighbour():
    edges = [(1, 2, 1.0, True), (1, 3, 0.9, False)]
    ledger = ledger_rows(edge_table(edges), ("first",), None)
    assert ledger.column("method").to_pylist() == ["fuzzy", "exact", "fuzzy"]


def test_ledger_pair_that_is_equal_and_similar_is_exact():
    edges = [(1, 2, 1.0, False), (1, 2, 1.0, True)]
    ledger = ledger_rows(edge_table(edges), ("first",), None)
    assert ledger.column("method").to_pylist() == ["exact", "exact"]
    assert ledger.column("cluster_size").to_pylist() == [2, 2]


def test_rank_the_document_id_decides_last():
    attributes = attributes_of({5: (10, "a"), 3: (10, "a"), 9: (20, "b")})
    longest, doc_id = rank(("longest",), attributes)
    assert longest.tolist() == [-10, -10, -20]
    assert doc_id.tolist() == [3, 5, 9]
    assert [key.tolist() for key in rank(("first", "longest"), attributes)] == [[3, 5, 9]]


def test_rank_source_named_twice_has_its_first_place():
    attributes = attributes_of({1: (10, "a"), 2: (10, "b"), 3: (10, "c")})
    assert rank(("source: a, b, a",), attributes)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("rules", "needed"), [(("first",), False), (("first", "longest"), False), (("longest",), True)]
)
def test_attributes_are_read_only_for_rules_that_look_at_them(rules, needed):
    assert needs_attributes(rules) is needed
