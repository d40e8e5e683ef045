"""The audit of a ledger against the truth: exact Jaccard of all pairs of a small corpus."""

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest

from strata.errors import ConflictError
from strata.pipelines.dedup.exact_jaccard import CandidatePairs, exact_jaccard
from strata.pipelines.evaluation import neighbours
from strata.pipelines.evaluation.audit import audit
from strata.pipelines.evaluation.neighbours import CHECKED, Neighbours
from strata.pipelines.execution.data_files import RemovedBy, data_files
from strata.pipelines.execution.details import AuditedShare
from strata.pipelines.execution.stage import Counters
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.texts import own_texts
from strata.settings import Settings
from tests.support.corpora.texts import json_lines
from tests.support.oracles.shingles import jaccard_of
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

NGRAM = 3
# Row groups of a few documents, which are compared with the sample one after the other.
FEW_ROWS_MB = 0.001
THRESHOLD = 0.7
# Few bands, so that the search overlooks pairs.
DEDUP = {"threshold": THRESHOLD, "ngram": NGRAM, "bands": 3, "rows": 5}


def texts_with_copies(seed, families):
    """Families of up to four texts, of which some differ in words, and some texts without words."""
    rng = np.random.default_rng(seed)
    texts = ["...", "...", "!", "?!"]
    for number in range(families):
        words = [f"w{place}" for place in rng.integers(0, 9000, 70)]
        texts.append(" ".join(words))
        for _ in range(int(rng.integers(0, 4)) if number % 3 else 0):
            copy = list(words)
            for place in rng.integers(0, 70, int(rng.integers(0, 8))):
                copy[place] = f"x{rng.integers(0, 9000)}"
            texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts


@pytest.fixture(scope="module")
def texts():
    return texts_with_copies(4, 150)


@pytest.fixture(scope="module")
def context(texts, tmp_path_factory):
    """A deduplicated corpus of several files, in which every row group has few documents."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "in").mkdir()
    for part in range(3):
        data = json_lines(texts[part::3], part * 1000)
        (folder / "in" / f"part-{part}.jsonl").write_bytes(data)
    settings = Settings(
        corpus="web",
        warehouse=str(folder / "wh"),
        inputs=[{"path": str(folder / "in")}],
        shard={"landing": "small"},
        tiers={"small": {"url": str(folder / "small"), "row_group_mb": 0.01}},
        dedup=DEDUP | {"audit_documents": 10_000},
    )
    context = sequential_context(settings)
    run_shard(context)
    return context


@pytest.fixture(scope="module")
def report(context):
    return run_dedup(context)


@pytest.fixture(scope="module")
def truth(context, report):
    """Similarities of all pairs that have any, with the texts, and who was removed."""
    documents = rows_of(context, "documents", ["doc_id", "text"])
    texts = {row["doc_id"]: row["text"] for row in documents}
    by_word = defaultdict(set)
    for doc_id, text in texts.items():
        for word in text.split():
            by_word[word].add(doc_id)
    shared = Counter(pair for some in by_word.values() for pair in combinations(sorted(some), 2))
    likely = [pair for pair, words in shared.items() if words > 20 or texts[pair[0]] == "..."]
    pairs = {
        (a, b): 1.0 if texts[a] == texts[b] else jaccard_of(texts[a], texts[b], NGRAM)
        for a, b in likely
    }
    ledger = rows_of(context, "clusters", ["doc_id", "kept"])
    removed = {row["doc_id"] for row in ledger if not row["kept"]}
    return texts, pairs, removed


def true_values(truth):
    texts, pairs, removed = truth
    best, best_kept = Counter(), Counter()
    for (a, b), similarity in pairs.items():
        for one, other in ((a, b), (b, a)):
            best[one] = max(best[one], similarity)
            if other not in removed:
                best_kept[one] = max(best_kept[one], similarity)
    kept = texts.keys() - removed
    true = [pair for pair, similarity in pairs.items() if similarity >= THRESHOLD]
    return {
        "precision": np.mean([best[each] >= THRESHOLD for each in removed]),
        "precision_near": np.mean([best[each] >= THRESHOLD - 0.1 for each in removed]),
        "recall": np.mean([a in removed or b in removed for a, b in true]),
        "kept_with_duplicate": np.mean([best_kept[each] >= THRESHOLD for each in kept]),
    }


def test_audit_of_all_documents_is_the_truth(report, truth):
    found = report.details.audit

    assert found.removed_documents == len(truth[2]) > 50
    assert found.kept_documents == len(truth[0]) - len(truth[2])
    expected = true_values(truth)
    assert expected["precision"] < 1
    assert expected["recall"] < 1
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value), name
    for name in ("precision", "precision_near", "kept_with_duplicate"):
        assert getattr(found, name).low == getattr(found, name).high == getattr(found, name).value


def audited(context, documents, key):
    settings = context.settings.model_copy(
        update={"dedup": context.settings.dedup.model_copy(update={"audit_documents": documents})}
    )
    sampled = sequential_context(settings, "audit")
    clusters = context.corpus.table("clusters")
    ledger = data_files(clusters.files(), reason=RemovedBy.CLUSTERS)
    removed = sum(not row["kept"] for row in rows_of(context, "clusters", ["kept"]))
    return audit(sampled, Upstream.of_dedup(sampled), ledger, removed, key, Counters())


def test_audit_intervals_cover_the_truth_for_most_keys(context, report, truth):
    expected = true_values(truth)
    rounds = 60
    covered = Counter()
    for number in range(rounds):
        found = audited(context, 40, f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" * 2)
        for name, value in expected.items():
            covered[name] += getattr(found, name).low <= value <= getattr(found, name).high

    assert min(covered[name] for name in expected) >= 0.9 * rounds


def test_audit_same_key_same_result(context, report):
    once, again = (audited(context, 50, "0f" * 16) for _ in range(2))
    other = audited(context, 50, "f0" * 16)

    assert once == again
    assert once != other


def sharded(tmp_path, corpus, texts, row_group_mb=32, **dedup):
    folder = tmp_path / f"in-{corpus}"
    folder.mkdir()
    for part, text in enumerate(texts):
        (folder / f"part-{part}.jsonl").write_bytes(json_lines([text], part))
    settings = Settings(
        corpus=corpus,
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(folder)}],
        shard={"landing": "small"},
        tiers={"small": {"url": str(tmp_path / "small"), "row_group_mb": row_group_mb}},
        dedup=dedup,
    )
    context = sequential_context(settings)
    run_shard(context)
    return context


def deduplicated(tmp_path, texts, **dedup):
    return run_dedup(sharded(tmp_path, "web", texts, **dedup)).details


def test_audit_large_family_compares_few_of_its_pairs(tmp_path):
    words = [f"w{place}" for place in range(60)]
    family = [" ".join([*words[:place], f"x{place}", *words[place + 1 :]]) for place in range(60)]

    found = deduplicated(tmp_path, family, threshold=THRESHOLD, ngram=NGRAM).audit

    assert found.removed_documents == 59
    assert found.compared_pairs <= 60 * (CHECKED + 1)
    assert found.precision == AuditedShare(1.0, 1.0, 1.0)
    assert found.recall.value == 1.0


def test_audit_is_the_same_however_often_pairs_are_chosen(tmp_path, monkeypatch):
    words = [f"w{place}" for place in range(60)]
    family = [" ".join([*words[:place], f"x{place}", *words[place + 1 :]]) for place in range(60)]
    texts = [*family, *texts_with_copies(5, 20)]
    context = sharded(tmp_path, "web", texts, row_group_mb=FEW_ROWS_MB)
    run_dedup(context)
    at_once = audited(context, 1000, "0f" * 16)
    chosen = []
    choose = Neighbours.choose

    def told(self, others, seed, least):
        choose(self, others, seed, least)
        chosen.append(self.candidates.doc_id)

    monkeypatch.setattr(neighbours, "WAITING_PAIRS", 1)
    monkeypatch.setattr(Neighbours, "choose", told)

    assert audited(context, 1000, "0f" * 16) == at_once
    assert len(chosen) > 10


def test_audit_without_duplicates_only_kept_documents(tmp_path):
    found = deduplicated(tmp_path, ["one two three", "four five six", "!"]).audit

    assert found.precision is None
    assert found.kept_with_duplicate == AuditedShare(0.0, 0.0, 0.0)


def test_audit_of_what_another_corpus_has_reads_its_texts(tmp_path):
    texts = texts_with_copies(5, 6)
    near = [f"{text} and a word more" for text in texts if len(text) > 10]
    sharded(tmp_path, "old", near, ngram=NGRAM)
    context = sharded(tmp_path, "web", texts, ngram=NGRAM, against=["old"])

    found = run_dedup(context).details.audit

    assert found.removed_documents > 5
    assert found.precision.low == found.recall.value == 1


def test_audit_off_nothing_told(tmp_path):
    assert deduplicated(tmp_path, ["one", "one"], audit_documents=0).audit is None


def test_exact_jaccard_equals_naive_oracle_in_any_order(context, report, truth):
    texts, pairs, _ = truth
    chosen = list(pairs)[::-3]
    a, b = np.array(chosen).T

    found = exact_jaccard(
        context,
        own_texts(context.corpus.table("documents")),
        CandidatePairs(a, b, np.full(len(a), 10**6)),
        Counters(),
    )

    assert len(chosen) > 30
    assert found.tolist() == [jaccard_of(texts[x], texts[y], NGRAM) for x, y in chosen]


def test_exact_jaccard_unknown_document_told(context, report, truth):
    pairs = CandidatePairs(np.array(sorted(truth[0]))[:1], np.array([12345]), np.array([8]))
    with pytest.raises(ConflictError, match=r"not in `documents`.* 12345"):
        exact_jaccard(context, own_texts(context.corpus.table("documents")), pairs, Counters())
