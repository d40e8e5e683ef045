import os
from pathlib import Path

import pytest

from strata.errors import SettingsError
from strata.layers import load_settings, render
from strata.places import checked_place, place_of

PLACES = """
corpus = "web"
warehouse = "$BASE/wh"
[[inputs]]
path = ["~/a$$b/*.jsonl", "${BASE}/in"]
[tiers.cold]
url = "s3://${BUCKET}/cold"
[tokenize]
tokenizer = "$BASE/tokenizer.json"
[cache]
folder = "~/cache"
[catalog]
uri = "sqlite:///$BASE/catalog.db"
[spark]
"spark.local.dir" = "$BASE/a,~/b"
[storage_options."s3://$BUCKET"]
anon = true
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setenv("BASE", "/base")
    monkeypatch.setenv("BUCKET", "bucket")
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.delenv("STRATA_ENV", raising=False)

    def load(text, *overrides):
        file = tmp_path / "corpus.toml"
        file.write_text(text)
        return load_settings(file, overrides)

    return load


def test_places_variables_and_home_are_expanded(load):
    settings = load(PLACES).settings
    assert settings.warehouse == "/base/wh"
    assert settings.inputs[0].paths == ("/users/me/a$b/*.jsonl", "/base/in")
    assert settings.tiers["cold"].url == "s3://bucket/cold"
    assert settings.tokenize.tokenizer == "/base/tokenizer.json"
    assert settings.cache.folder == "/users/me/cache"
    assert settings.catalog["uri"] == "sqlite:////base/catalog.db"
    assert settings.spark["spark.local.dir"] == "/base/a,/users/me/b"
    assert list(settings.storage_options) == ["s3://bucket"]
    # The tier that is made of an expanded place is not expanded again.
    assert settings.all_tiers["warehouse"].url == "/base/wh"


def test_places_printed_settings_load_to_the_same_places(load):
    first = load(PLACES.replace("$BASE/wh", "$BASE/w$$h")).settings
    again = load(render(load(PLACES.replace("$BASE/wh", "$BASE/w$$h"))).replace("***", "sqlite://"))
    assert again.settings.warehouse == first.warehouse == "/base/w$h"
    assert again.settings.inputs == first.inputs


WRONG = {
    "hdfs:/corpora/x": "write hdfs://NAMENODE/corpora/x",
    "s3:/bucket/x": "write s3://bucket/x",
    "S3:bucket/x": "write s3://bucket/x",
    "s3:///bucket/x": "write s3://bucket/x",
    "s3//bucket/x": "write s3://bucket/x",
    "dbfs:/x": "write dbfs:///x",
    "gs:/bucket": "write gs://bucket",
    "file://data/x": "write file:///data/x",
    "$UNSET/x": "the environment variable UNSET is not set",
    "${UNSET}/x": "the environment variable UNSET is not set",
    "$EMPTY/x": "the environment variable EMPTY is empty",
    "${BASE:-y}/x": "write $NAME or ${NAME}",
    "/x/$(date)": "write $NAME or ${NAME}",
    "~no-such-user-here/x": "write ./~no-such-user-here/x",
    "": "give a path or a URL",
}


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize(
    "key",
    ["warehouse", "tiers.cold.url", "tokenize.tokenizer", "inputs", "cache.folder", "spark"],
)
def test_places_that_would_become_folders_are_refused_everywhere(load, key, text):
    lines = {
        "inputs": f"inputs=[{{path=['{text}']}}]",
        "spark": f"spark.spark.local.dir='{text}'",
    }
    with pytest.raises(SettingsError) as caught:
        load(PLACES, lines.get(key, f"{key}='{text}'"))
    assert WRONG[text] in str(caught.value)
    assert "--set" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("file:/abs/x", "file:///abs/x"),
        ("FILE:/abs/x", "file:///abs/x"),
        ("file://localhost/x", "file:///x"),
        ("file:data/x", "data/x"),
        ("file://~/x", "file:///users/me/x"),
        ("file://./x", "file://./x"),
        ("./s3:/x", "./s3:/x"),
        ("data:/x", "data:/x"),
        ("a:b", "a:b"),
        ("hdfs:///x", "hdfs:///x"),
        ("s3://b/x", "s3://b/x"),
        ("/a/price$5", "/a/price$5"),
        ("a/~b", "a/~b"),
    ],
)
def test_places_that_mean_something_are_taken(load, text, place):
    assert place_of(text) == place
    assert checked_place(checked_place(text)) == place


@pytest.mark.parametrize(
    "prefix", ["hdfs:/x", "s3:/bucket", "$UNSET/x"], ids=["hdfs", "s3", "variable"]
)
def test_places_prefix_of_storage_options_is_checked(load, prefix):
    with pytest.raises(SettingsError, match="storage_options"):
        load(PLACES + f'[storage_options."{prefix}"]\nanon = true\n')


@pytest.mark.parametrize("uri", ["$UNSET/x", "sqlite:///$UNSET/catalog.db"])
def test_places_catalog_with_an_unset_variable_is_refused(load, uri):
    with pytest.raises(SettingsError, match="UNSET is not set"):
        load(PLACES, f"catalog.uri='{uri}'")


@pytest.mark.parametrize(
    ("uri", "right"),
    [
        ("sqlite:/abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite://x.db", "sqlite:///x.db"),
        ("/abs/x.db", "sqlite:////abs/x.db"),
        ("file:/abs/x.db", "sqlite:////abs/x.db"),
        ("./x.db", "sqlite:///./x.db"),
    ],
)
def test_places_catalog_as_a_path_is_told_its_url(load, uri, right):
    with pytest.raises(SettingsError) as caught:
        load(PLACES, f"catalog.uri='{uri}'")
    assert right in str(caught.value)


def test_places_a_refused_one_leaves_no_folder(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        load(PLACES, "warehouse='s3:/bucket/x'")
    assert os.listdir(Path.cwd()) == ["corpus.toml"]
