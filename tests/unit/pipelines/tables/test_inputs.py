import numpy as np

from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.inputs import SourceIndex, read_sources
from strata.settings import Settings
from tests.support.corpora.texts import json_lines
from tests.support.sequential import sequential_context


def corpus_with(folder, documents):
    """A corpus with an input of each source: how many documents it has."""
    inputs = []
    for name, number in documents.items():
        (folder / name).mkdir()
        (folder / name / "a.jsonl").write_bytes(json_lines([f"text {n}" for n in range(number)]))
        inputs.append({"path": str(folder / name)})
    context = sequential_context(
        Settings(corpus="web", warehouse=str(folder / "wh"), inputs=inputs)
    )
    run_shard(context)
    return context


def test_sources_are_named_by_their_number_of_documents(tmp_path):
    context = corpus_with(tmp_path, {"b": 2, "a": 2, "c": 9, "none": 0})
    sources = read_sources(context.corpus, context.store)
    assert sources.names == ("c", "a", "b", "none")
    ids = np.array([0, 1 << 37, (2 << 37) + 5, (3 << 37) - 1, 3 << 37, 4 << 37, -1, -(2**60)])
    names = (*sources.names, "other", "foreign")
    told = [names[place] for place in sources.of(ids).tolist()]
    assert told == ["b", "a", "c", "c", "none", "other", "foreign", "foreign"]


def test_sources_beyond_the_bound_have_one_place(tmp_path):
    context = corpus_with(tmp_path, {"a": 1, "b": 3, "c": 2})
    sources = read_sources(context.corpus, context.store, max_sources=2)
    assert sources.names == ("b", "c")
    assert sources.of(np.array([0, 1 << 37, 2 << 37])).tolist() == [sources.other, 0, 1]


def test_sources_of_no_inputs_know_no_document():
    sources = SourceIndex((), np.empty(0, np.int16))
    assert sources.of(np.array([5, -5])).tolist() == [sources.other, sources.reference]
