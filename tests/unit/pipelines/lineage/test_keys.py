"""The keys of all results for fixed causes.

They are in the snapshots of every corpus: where one of these values changes without a `VERSION`
beside it, all corpora are made again for nothing.
"""

from dataclasses import replace

import pytest

from strata.pipelines.ingest.plan import Retractions, plan_shard
from strata.pipelines.lineage.keys import NO_ITEMS, cuts_key
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.listing import FoundInput, Listing
from strata.pipelines.readers.split import ReadOptions
from strata.pipelines.tables.other_corpora import BenchmarkCorpus, Origin, ReferenceCorpus
from strata.pipelines.tables.state import TableStates
from strata.pipelines.tokenization.identity import tokens_key
from strata.pipelines.tokenization.spec import TokenizerKind, TokenizerSpec
from strata.settings import DedupSettings, InputFormat, Settings, TokenizeSettings, TrainSettings
from strata.stages import STAGES
from strata.storage.tables.table import TableState

NO_TABLE = TableState("other", "documents", None)
REFERENCES = tuple(
    ReferenceCorpus(Origin(name, 1, shift), key, (), 0, NO_TABLE)
    for name, key, shift in (("old", "aa11", -9), ("older", "bb22", -5))
)
BENCHMARKS = tuple(
    BenchmarkCorpus(name, key, (), NO_TABLE) for name, key in (("quiz", "cc33"), ("exam", "dd44"))
)
FULL = DedupSettings(
    threshold=0.7,
    bands=20,
    rows=6,
    verify="exact",
    against=["old", "older"],
    decontaminate=["quiz", "exam"],
    survivor=["longest", "first"],
    link="direct",
    passages="line",
    substring_words=50,
    contain_ngram=9,
    containment=0.4,
)
SPEC = TokenizerSpec(TokenizerKind.HUGGING_FACE, b"bytes", None, None, 0, 256)
TRAINED = TokenizeSettings(bos=True, train=TrainSettings(vocab_size=5000))


def upstream(settings, references=(), benchmarks=()):
    return Upstream("documents-key", settings, TableStates({}), references, benchmarks)


def keys_of(found):
    names = ("search_key", "edges_key", "ledger_settings_key", "ledger_key", "item_key")
    names += ("contained_key", "removals_key", "cuts_key")
    return {name: getattr(found, name) for name in names}


def test_keys_of_default_settings_stay():
    assert keys_of(upstream(DedupSettings())) == {
        "search_key": "618ab022f4d4b501cf2820cbba7a396d",
        "edges_key": "1484ddfedf3b735cf63d0c48b0f0f4f9",
        "ledger_settings_key": "5ee36c88519d35cbcc2f7eb52d195b1b",
        "ledger_key": "030377962c588f310f572369819b4b18",
        "item_key": "7c8158451207a6a7255e329e128b0ad8",
        "contained_key": NO_ITEMS,
        "removals_key": "030377962c588f310f572369819b4b18",
        "cuts_key": "eaab64f7eccde645dfb1d445ccf91c26",
    }
    assert NO_ITEMS == "d8a362c9d81008321dd126e01e871bbc"


def test_keys_of_all_settings_that_decide_something_stay():
    assert keys_of(upstream(FULL, REFERENCES, BENCHMARKS)) == {
        "search_key": "d4b7c0ea980d8bbf571b9151db358649",
        "edges_key": "35f2a644672af92c63fb7d0674897b1d",
        "ledger_settings_key": "ce3be51b9b6c9f1516cef7afb95654bf",
        "ledger_key": "339833e4971efe76bf55871b6970ed03",
        "item_key": "632fd4762d75498cb2413c9343c8ac85",
        "contained_key": "de28f2bebecf575dba2060f734d6cf23",
        "removals_key": "a9d905851435e8387bfc5361d1c7f6ee",
        "cuts_key": "74b6304d505f9edbb6c7420507825785",
    }


@pytest.mark.parametrize(
    ("found", "settings", "trained", "named"),
    [
        (
            upstream(DedupSettings()),
            TokenizeSettings(),
            "5ca1e10c563b6f59a5e9d66647c72ae5",
            "d0e51512bab43a5f19e758202c1ede5b",
        ),
        (
            upstream(FULL, REFERENCES, BENCHMARKS),
            TRAINED,
            "e4a95f8dd6a2f6a6ce048e7e957d2f19",
            "7109aaa13be6ddc38235ad5cec43b99c",
        ),
    ],
)
def test_keys_of_tokens_stay(found, settings, trained, named):
    assert tokens_key(found, settings, None) == trained
    assert tokens_key(found, settings, SPEC) == named


@pytest.mark.parametrize(
    ("retractions", "expected"),
    [
        (Retractions(), "b664ce369f4f1698b2a876fb6915defa"),
        (Retractions("gone"), "42e1b017fb58bdee4c77364c11128cc7"),
    ],
)
def test_keys_of_documents_stay(retractions, expected):
    options = ReadOptions()
    file = FoundInput(
        "file:///in/a.jsonl", 10, "1", "in", InputFormat.JSONL, Compression.NONE, options
    )
    plan = plan_shard(
        Listing((file,), {}),
        [],
        Settings(corpus="web", inputs=[{"path": "in"}]),
        keys=(None,) * 4,
        settings_key=None,
        retractions=retractions,
    )

    assert (plan.key, plan.settings_key) == (expected, "b929d76c46ab5c0179388a6ae95ffc9b")


@pytest.mark.parametrize("change", ["documents", "settings", "references", "benchmarks"])
def test_keys_each_cause_changes_those_of_what_follows(change):
    found = upstream(FULL, REFERENCES, BENCHMARKS)
    other = {
        "documents": found.of_documents("other"),
        "settings": upstream(FULL.model_copy(update={"link": "cluster"}), REFERENCES, BENCHMARKS),
        "references": upstream(FULL, REFERENCES[:1], BENCHMARKS),
        "benchmarks": upstream(FULL, REFERENCES, BENCHMARKS[::-1]),
    }[change]

    before, after = keys_of(found), keys_of(other)

    assert {name for name in before if before[name] != after[name]} == {
        "documents": {"edges_key", "ledger_key", "contained_key", "removals_key", "cuts_key"},
        "settings": {"ledger_key", "ledger_settings_key", "removals_key", "cuts_key"},
        "references": {
            *("search_key", "edges_key", "ledger_key", "ledger_settings_key"),
            *("removals_key", "cuts_key"),
        },
        "benchmarks": {"item_key", "contained_key", "removals_key", "cuts_key"},
    }[change]


# Another value of each setting of [dedup], beside FULL with passages.
OTHERS = {
    "threshold": 0.6,
    "ngram": 4,
    "bands": 21,
    "rows": 7,
    "survivor": ["first"],
    "verify": "sketch",
    "link": "cluster",
    "write_clean": False,
    "memory_documents": 1,
    "driver_edges": 1,
    "audit_documents": 1,
    "passages": "paragraph",
    "passage_words": 9,
    "substring_words": 51,
    "memory_passages": 1,
    "contain_ngram": 10,
    "containment": 0.3,
    "contain_words": 9,
    "contain_limit": 10,
}
# They name corpora, whose keys are part of the upstream state.
CORPORA = {"against", "decontaminate"}


def deciding(own_key):
    """The settings of [dedup] that decide one of the keys that ``own_key`` gives."""
    before = own_key(upstream(FULL, REFERENCES, BENCHMARKS))
    changed = {}
    for name, value in OTHERS.items():
        settings = DedupSettings.model_validate({**FULL.model_dump(), name: value})
        changed[name] = own_key(upstream(settings, REFERENCES, BENCHMARKS)) != before
    return {f"dedup.{name}" for name, is_other in changed.items() if is_other}


def declared(stage):
    names = {name for name in STAGES[stage].settings if name.startswith("dedup.")}
    return names - {f"dedup.{name}" for name in CORPORA}


def test_keys_every_setting_of_dedup_is_changed_here():
    assert set(OTHERS) | CORPORA == set(DedupSettings.model_fields)


def test_keys_settings_that_decide_decontaminate_are_declared():
    assert deciding(lambda found: found.item_key) == declared("decontaminate")


def test_keys_settings_that_decide_dedup_are_declared():
    def own(found):
        return found.ledger_settings_key, cuts_key(found.settings, "survivors")

    assert deciding(own) == declared("dedup")


def test_keys_settings_that_decide_tokens_are_declared():
    def own(found):
        return tokens_key(
            replace(found, settings=DedupSettings(write_clean=found.settings.write_clean)),
            TRAINED,
            None,
        )

    assert deciding(own) == declared("tokenize")
    others = {"bos": False, "eos": False, "train": {"vocab_size": 6000}}
    state = upstream(DedupSettings())
    keys = {tokens_key(state, TRAINED, None), tokens_key(state, TRAINED, SPEC)}
    for name, value in others.items():
        settings = TokenizeSettings.model_validate({**TRAINED.model_dump(), name: value})
        keys.add(tokens_key(state, settings, None))
    names = {"tokenizer", *others}
    assert len(keys) == 1 + len(names)
    assert {f"tokenize.{name}" for name in names} == {
        name for name in STAGES["tokenize"].settings if name.startswith("tokenize.")
    }
