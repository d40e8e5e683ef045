"""Keys that many documents have are compared before the shuffle, and no edge changes by that."""

import numpy as np
import pytest

from strata.pipelines.dedup import search as edge_search
from strata.pipelines.dedup.skewed_keys import SkewPolicy
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.texts import json_lines
from tests.support.rows import rows_in_file_order, rows_of
from tests.support.sequential import sequential_context

# Every tenth document makes a key heavy, in a corpus of a few hundred.
RULE = SkewPolicy(share=20, least=10, sample=100, sample_tasks=2)


def banners(rng, number):
    """One text with a few words changed in each, every third time none."""
    words = [f"b{place}" for place in range(90)]
    texts = []
    for place in range(number):
        copy = list(words)
        for at in rng.integers(0, 90, 0 if place % 3 == 0 else int(rng.integers(1, 4))):
            copy[at] = f"x{rng.integers(0, 10**6)}"
        texts.append(" ".join(copy))
    return texts


@pytest.fixture
def texts():
    rng = np.random.default_rng(3)
    others = [" ".join(f"w{word}" for word in rng.integers(0, 9000, 60)) for _ in range(90)]
    found = [*banners(rng, 150), *others, *others[:20], "", "...", "..."]
    rng.shuffle(found)
    return found


def context_of(folder, inputs, run_id, **dedup):
    given = {"corpus": "web", "warehouse": str(folder), "dedup": dedup}
    reading = [{"path": str(inputs), "fields": {"id": "id"}}]
    limit = {"max_reject_ratio": 0.5}
    return sequential_context(Settings(inputs=reading, shard=limit, **given), run_id)


def deduplicated(tmp_path, name, parts, **dedup):
    """The last context and the reports of runs over growing inputs."""
    inputs = tmp_path / f"in-{name}"
    inputs.mkdir()
    reports = []
    for number, part in enumerate(parts):
        # Ids begin anew in each file: repeated ids are a kind of key as well.
        (inputs / f"part-{number}.jsonl").write_bytes(json_lines(part))
        context = context_of(tmp_path / name, inputs, f"run{number}", **dedup)
        run_shard(context)
        reports.append(run_dedup(context))
    return context, reports


def test_skewed_keys_edges_are_those_of_the_sort_in_memory(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(edge_search, "SKEW_POLICY", RULE)
    memory, (expected,) = deduplicated(tmp_path, "memory", [texts])
    shuffled, (report,) = deduplicated(tmp_path, "shuffle", [texts], memory_documents=0)

    assert rows_in_file_order(shuffled, "edges") == rows_in_file_order(memory, "edges")
    assert rows_in_file_order(shuffled, "clusters") == rows_in_file_order(memory, "clusters")
    assert report.removed == expected.removed
    assert report.details.repeated_ids == expected.details.repeated_ids


def test_skewed_keys_rows_do_not_pass_the_shuffle(tmp_path, texts, monkeypatch):
    _, (before,) = deduplicated(tmp_path, "light", [texts], memory_documents=0)
    monkeypatch.setattr(edge_search, "SKEW_POLICY", RULE)
    _, (after,) = deduplicated(tmp_path, "heavy", [texts], memory_documents=0)

    # 150 of 260 documents are banners; each has a row for every hub that it joins, not for 25 keys.
    assert after.details.compared_rows < 0.85 * before.details.compared_rows


def test_skewed_keys_inputs_in_parts_give_the_edges_of_memory(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(edge_search, "SKEW_POLICY", RULE)
    parts = [texts[:100], texts[100:180], texts[180:]]
    steps, reports = deduplicated(tmp_path, "steps", parts, memory_documents=0)
    memory, _ = deduplicated(tmp_path, "memory", parts)

    assert rows_of(steps, "edges") == rows_of(memory, "edges")
    assert rows_in_file_order(steps, "clusters") == rows_in_file_order(memory, "clusters")
    assert len(reports) == 3
