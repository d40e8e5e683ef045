"""Runs of one id at the same time, step by step in turn: what they stage never meets."""

import threading
from dataclasses import replace

import pytest

from strata.errors import ConflictError
from strata.pipelines.execution.staging import clear_staging
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts, with_copies
from tests.support.rows import rows_of
from tests.support.sequential import Session, sequential_context

STAGES = (run_shard, run_decontaminate, run_dedup, run_tokenize, run_compress)
TABLES = ("documents", "contained", "edges", "clusters", "cuts", "clean", "tokens")
EVERYTHING = {
    "passages": "line",
    "substring_words": 20,
    "decontaminate": ["bench"],
    "contain_words": 5,
}
WAYS = ({"memory_documents": 0}, {})


class Turns:
    """Lets threads go on one at a time, in turn."""

    def __init__(self, threads):
        self._changed = threading.Condition()
        self._waiting = list(range(threads))

    def take(self, thread):
        """Wait until it is this thread's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting[0] == thread)

    def give(self, thread):
        """Let the next one go on, and wait for the next turn."""
        with self._changed:
            self._waiting.append(self._waiting.pop(0))
            self._changed.notify_all()
        self.take(thread)

    def leave(self, thread):
        """Go on without this thread."""
        with self._changed:
            self._waiting.remove(thread)
            self._changed.notify_all()


class Alternating(Session):
    """A session that lets another run go on before and after each of its own steps."""

    def __init__(self, turns, thread):
        self._turns, self._thread = turns, thread

    def parallelize(self, specs, partitions):
        self._turns.give(self._thread)
        return super().parallelize(specs, partitions)

    def range(self, *numbers):
        self._turns.give(self._thread)
        return super().range(*numbers)


def at_once(contexts, stages=STAGES):
    """Run the stages of several contexts at once; returns the error of each, or None."""
    turns, ended = Turns(len(contexts)), {}

    def run(thread, context):
        turns.take(thread)
        try:
            for stage in stages:
                stage(replace(context, spark=lambda: Alternating(turns, thread)))
            ended[thread] = None
        except BaseException as error:
            ended[thread] = error
        finally:
            turns.leave(thread)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(contexts)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    return [ended[number] for number in range(len(contexts))]


@pytest.fixture(scope="module")
def texts():
    return with_copies(library_texts(14, most_bytes=3000))


@pytest.fixture
def context_of(tmp_path, texts):
    given = {
        "bench": [" ".join(texts[0].split()[20:60]), " ".join(texts[9].split()[10:50])],
        "web": texts,
        "books": [text.upper() for text in reversed(texts)],
    }

    def make(name, place="wh", **dedup):
        file = tmp_path / f"{name}.jsonl"
        if not file.exists():
            file.write_bytes(json_lines(given[name]))
        settings = Settings(
            corpus=name,
            warehouse=str(tmp_path / place),
            inputs=[{"path": str(file)}],
            dedup=dedup,
            tokenize={"train": {"vocab_size": 300, "sample_mb": 0.05}},
        )
        return sequential_context(settings, "nightly")

    def with_bench(name, place="wh", **dedup):
        run_shard(make("bench", place))
        return make(name, place, **(EVERYTHING | dedup))

    return with_bench


def tables(context):
    return {name: rows_of(context, name) for name in TABLES}


def alone(context):
    for stage in STAGES:
        stage(context)
    return tables(context)


def staged(context):
    return context.store.find(context.staging)


@pytest.mark.parametrize("way", WAYS)
def test_two_corpora_of_a_warehouse_at_once_have_what_each_has_alone(context_of, way):
    names = ("web", "books")
    expected = [alone(context_of(name, f"alone-{name}", **way)) for name in names]
    contexts = [context_of(name, **way) for name in names]

    assert at_once(contexts) == [None, None]

    assert [tables(context) for context in contexts] == expected
    assert all(found["clusters"] and found["contained"] and found["cuts"] for found in expected)


@pytest.mark.parametrize("way", WAYS)
def test_two_runs_of_a_corpus_at_once_publish_what_one_would(context_of, way):
    expected = alone(context_of("web", "alone", **way))
    contexts = [context_of("web", **way) for _ in range(2)]

    ends = at_once(contexts)

    assert all(end is None or isinstance(end, ConflictError) for end in ends)
    for stage in STAGES:
        stage(contexts[0])
    assert tables(contexts[0]) == expected


def test_clear_staging_removes_what_its_attempt_staged_and_nothing_else(context_of):
    one, two = context_of("web"), context_of("web")
    for context in (one, two):
        context.store.write_bytes(context.staging / "deep/x", b"1")

    clear_staging(one)

    assert not staged(one)
    assert [file.url for file in staged(two)] == [two.staging / "deep/x"]


def test_task_refuses_what_another_attempt_staged(context_of):
    one, two = context_of("web"), context_of("web")
    two.store.write_bytes(two.staging / "x", b"1")

    with pytest.raises(ConflictError, match="staged by another run"):
        one.store.read_bytes(two.staging / "x")
