"""Stars around survivors, against a plain loop over the members of each cluster."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.direct_links import MEMBERS, direct_edges
from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA
from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import acceptance
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import json_lines
from tests.support.sequential import sequential_context

BITS = 64 * SKETCH_WORDS
RULES = [["first"], ["longest"], ["source:b", "longest"]]


def random_members(seed, number=60):
    """Documents in a few families; the sketches of a family drift away from each other."""
    rng = np.random.default_rng(seed)
    rows, sketch = [], None
    for doc_id in sorted(rng.choice(np.arange(-30, 200), number, replace=False).tolist()):
        if sketch is None or rng.random() < 0.15:
            sketch = rng.integers(0, 2, BITS, np.uint8)
        sketch = sketch.copy()
        sketch[rng.choice(BITS, int(rng.integers(0, 24)), replace=False)] ^= 1
        bits = np.packbits(sketch, bitorder="little").tobytes()
        rows.append(
            {
                "doc_id": doc_id,
                "n_bytes": int(rng.integers(1, 9)),
                "source": str(rng.choice(["a", "b"])),
                "content_hash": bits[:16],
                "sketch": bits,
            }
        )
    return rows


def alike(one, other):
    x, y = (int.from_bytes(row["sketch"], "little") for row in (one, other))
    return 1 - 2 * (x ^ y).bit_count() / BITS


def chain(rows, threshold):
    """Edges of neighbours in the list, where they are similar enough."""
    found = [
        (one["doc_id"], other["doc_id"], alike(one, other), False)
        for one, other in pairwise(rows)
        if alike(one, other) >= acceptance(threshold)
    ]
    columns = list(zip(*found, strict=True))
    arrays = [pa.array(c, f.type) for c, f in zip(columns, EDGE_SCHEMA, strict=True)]
    return pa.table(arrays, schema=EDGE_SCHEMA)


def order_of(rules):
    def key(row):
        keys = {"longest": -row["n_bytes"], "source:b": row["source"] != "b"}
        own = row["doc_id"] >= 0
        return [own, *(keys.get(rule, 0) for rule in rules if own), row["doc_id"]]

    return key


def naive_stars(rows, edges, rules, threshold):
    by_id = {row["doc_id"]: row for row in rows}
    family = {doc_id: {doc_id} for doc_id in by_id}
    for a, b in zip(edges["a"].to_pylist(), edges["b"].to_pylist(), strict=True):
        joined = family[a] | family[b]
        for doc_id in joined:
            family[doc_id] = joined
    stars = set()
    for members in {frozenset(some) for some in family.values() if len(some) > 1}:
        kept = []
        for row in sorted((by_id[m] for m in members), key=order_of(rules)):
            for hub in kept:
                if alike(row, hub) >= acceptance(threshold):
                    stars.add((hub["doc_id"], row["doc_id"]))
                    break
            else:
                kept.append(row)
    return {(a, b) for a, b in stars if b >= 0}


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_stars_are_those_of_a_plain_loop(seed, rules):
    rows = random_members(seed)
    edges = chain(rows, 0.8)

    stars = direct_edges(edges, pa.Table.from_pylist(rows, MEMBERS), rules, 0.8)

    pairs = list(zip(stars["a"].to_pylist(), stars["b"].to_pylist(), strict=True))
    expected = naive_stars(rows, edges, rules, 0.8)
    assert len(pairs) == len(expected) > 10
    assert set(pairs) == expected
    by_id = {row["doc_id"]: row for row in rows}
    for row in stars.to_pylist():
        a, b = by_id[row["a"]], by_id[row["b"]]
        assert row["similarity"] == pytest.approx(alike(a, b))
        assert row["equal"] == (a["content_hash"] == b["content_hash"])


def test_no_edges_no_stars():
    assert direct_edges(EDGE_SCHEMA.empty_table(), MEMBERS.empty_table(), ["first"], 0.8).equals(
        EDGE_SCHEMA.empty_table()
    )


def test_dedup_end_of_a_chain_is_kept(tmp_path):
    words = [f"w{number}" for number in range(400)]
    drifting = [" ".join(words[start : start + 300]) for start in (0, 25, 50, 75)]
    (tmp_path / "in.jsonl").write_bytes(json_lines([*drifting, drifting[0]]))
    inputs = [{"path": str(tmp_path / "in.jsonl"), "source": "s"}]

    def removed(name, **dedup):
        settings = {"corpus": name, "warehouse": str(tmp_path / "wh"), "dedup": dedup}
        context = sequential_context(Settings(inputs=inputs, **settings))
        run_shard(context)
        return run_dedup(context).removed

    assert removed("chained") == {"exact": 1, "fuzzy": 3}
    direct = removed("direct", link="direct")
    assert direct["exact"] == 1
    assert direct["fuzzy"] < 3
