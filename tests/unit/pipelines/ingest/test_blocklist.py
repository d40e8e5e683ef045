import numpy as np
import pytest
import xxhash

from strata.pipelines.ingest.blocklist import Tombstones
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import plan_splits
from strata.settings import InputSettings
from tests.support.corpora.texts import json_lines
from tests.support.readers import LIMITS


def rules(documents=(), urls=(), sources=()):
    """Rules for documents, each as (id, text, whether the id is the record's own)."""
    content = [
        [np.uint64(xxhash.xxh64_intdigest(text.encode(), seed)).view(np.int64) for seed in (0, 1)]
        for _, text, _ in documents
    ]
    rows = np.array(content, np.int64).reshape(-1, 2)
    ids = [
        np.uint64(xxhash.xxh64_intdigest(name.encode())).view(np.int64) for name, *_ in documents
    ]
    order = np.argsort(rows[:, 0], kind="stable")
    return Tombstones(
        rows[order],
        np.array(ids, np.int64)[order],
        np.array([own for *_, own in documents], bool)[order],
        frozenset(urls),
        frozenset(sources),
    )


@pytest.fixture
def read(store, folder):
    def read(data, retracted):
        store.write_bytes(folder / "src" / "a.jsonl", data)
        (found,) = list_inputs(store, [InputSettings(path=str(folder / "src"))]).files
        (split,) = plan_splits([found.numbered(3)], store, 10**9)
        (batch,) = [
            retracted.without(batch, split.file) for batch in read_split(store, split, LIMITS)
        ]
        assert batch.records == batch.documents.num_rows + len(batch.rejects)
        return batch

    return read


def test_records_with_the_id_and_the_content_are_rejected_at_their_place(read):
    texts = ["one", "two", "two", "three"]
    retracted = rules([("doc-1", "two", True), ("doc-3", "another", True), ("doc-9", "one", True)])
    batch = read(json_lines(texts), retracted)
    assert batch.documents["id"].to_pylist() == ["doc-0", "doc-2", "doc-3"]
    (reject,) = batch.rejects
    start = json_lines(texts).index(b'{"id": "doc-1"')
    assert (reject.position, reject.reason, reject.excerpt) == (start, "retracted", "")
    assert (reject.ordinal, reject.source) == (3, "src")


def test_records_whose_id_was_made_are_known_by_their_content(read):
    data = b'{"text": "one"}\n{"text": "two"}\n{"id": "x", "text": "two"}\n'
    batch = read(data, rules([("0-77", "two", False)]))
    assert batch.documents["text"].to_pylist() == ["one"]


def test_records_of_an_address_or_a_source_are_rejected_whatever_they_hold(read):
    data = json_lines(["one", "two"], url="https://a") + json_lines(["three"], 7)
    assert read(data, rules(urls=["https://a"])).documents["id"].to_pylist() == ["doc-7"]
    assert read(data, rules(sources=["other"])).documents.num_rows == 3
    assert read(data, rules(sources=["src"])).documents.num_rows == 0


def test_records_among_other_rejects_stay_in_order(read):
    data = json_lines(["one"]) + b"{bad\n" + json_lines(["two"], 1) + b'{"text": ""}\n'
    batch = read(data, rules([("doc-1", "two", True)]))
    assert [str(each.reason) for each in batch.rejects] == [
        *("invalid_json", "retracted", "empty_text"),
    ]
    positions = [each.position for each in batch.rejects]
    assert positions == sorted(positions)


def test_rules_of_many_documents_agree_with_a_search_one_by_one(read):
    rng = np.random.default_rng(4)
    texts = [f"t{number}" for number in rng.integers(0, 25, 120)]
    ids = rng.integers(0, 120, 60)
    asked = [(f"doc-{n}", texts[rng.integers(0, 120)], bool(rng.integers(0, 4))) for n in ids]
    batch = read(json_lines(texts), rules(asked))
    expected = [
        f"doc-{number}"
        for number, text in enumerate(texts)
        if not any(text == t and (f"doc-{number}" == name or not own) for name, t, own in asked)
    ]
    assert 0 < len(expected) < 120
    assert batch.documents["id"].to_pylist() == expected


def test_rules_without_any_change_nothing(read):
    assert not rules()
    assert read(json_lines(["a", "b"]), rules()).documents.num_rows == 2
