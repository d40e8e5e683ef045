import pytest
from pydantic import BaseModel, ValidationError

from strata import settings as module
from strata.settings import Settings, TierSettings, TokenizeSettings
from strata.tables import table_names

MINIMAL = {"corpus": "web", "inputs": [{"path": "a"}]}


MODELS = [
    each
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
]


def make(**sections):
    return Settings.model_validate(MINIMAL | sections)


SECTIONS = ("shard", "dedup", "tokenize", "compress", "transfer", "cache", "writers")


def test_settings_every_field_is_described():
    missing = {
        f"{model.__name__}.{name}"
        for model in MODELS
        for name, field in model.model_fields.items()
        if not field.description
    }
    # Sections without a text of their own are described by their model.
    assert missing <= {f"Settings.{name}" for name in SECTIONS}


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        make().corpus = "other"


def test_settings_table_without_tier_stays_in_the_warehouse():
    settings = make(warehouse="w", tiers={"hot": {"url": "h"}}, tables={"tokens": "hot"})
    assert settings.tier_of("tokens") == "hot"
    assert settings.all_tiers[settings.tier_of("documents")].url == "w"


@pytest.mark.parametrize(
    "sections",
    [
        {"corpus": "1 bad name"},
        {"inputs": []},
        {"inputs": [{"path": ""}]},
        {"inputs": [{"path": []}]},
        {"inputs": [{"path": "a", "delimiter": ";;"}]},
        {"dedup": {"threshold": 0.1}},
        {"dedup": {"bands": 4}},
        {"dedup": {"survivor": ["newest"]}},
        {"dedup": {"survivor": ["source:"]}},
        {"tokenize": {"tokenizer": "a.tiktoken"}},
        {"tokenize": {"tokenizer": "a.json", "train": {"vocab_size": 300}}},
        {"tokenize": {"train": {"vocab_size": 10}}},
        {"tables": {"tokens": "nowhere"}},
        {"tables": {"bogus": "warehouse"}},
        {"compress": {"tables": ["bogus"]}},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(sections):
    with pytest.raises(ValidationError):
        make(**sections)


@pytest.mark.parametrize(("codec", "level"), [("gzip", 10), ("snappy", 1), ("none", 3)])
def test_tier_level_beyond_the_codec_is_refused(codec, level):
    with pytest.raises(ValidationError, match="no level"):
        TierSettings(url="x", codec=codec, level=level)


def test_survivor_empty_means_first():
    assert make(dedup={"survivor": []}).dedup.survivor == ("first",)


def test_tokenize_tiktoken_with_encoding_is_accepted():
    assert TokenizeSettings(tokenizer="a.tiktoken", encoding="o200k_base").eos


def test_tables_have_names_of_their_own():
    assert len(set(table_names())) == len(table_names())
