import pickle

import pytest

from strata.errors import SettingsError
from strata.storage.contracts.options import StorageOptions, from_environment
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore


def test_options_longest_prefix_wins_at_a_boundary(monkeypatch):
    monkeypatch.setenv("TOKEN", "t")
    options = StorageOptions(
        {"s3://": {"a": 1}, "s3://b": {"a": 2}, "s3://b/deep": {"a": {"x": "env:TOKEN"}}}
    )
    assert options.resolve(Url.parse("s3://b/deep/x")) == {"a": {"x": "t"}}
    assert options.resolve(Url.parse("s3://b/deeper")) == {"a": 2}
    assert options.resolve(Url.parse("s3://bb/x")) == {"a": 1}
    assert options.resolve(Url.parse("/x")) == {}


def test_options_prefix_with_a_slash_covers_what_is_below():
    options = StorageOptions({"s3://b/": {"a": 1}})
    assert options.resolve(Url.parse("s3://b/x")) == {"a": 1}
    assert options.resolve(Url.parse("s3://bb/x")) == {}


def test_options_missing_variable_is_named_with_its_place(monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    options = StorageOptions({"s3://b": {"client_kwargs": {"secret": "env:TOKEN"}}})
    with pytest.raises(SettingsError, match="TOKEN") as error:
        options.resolve(Url.parse("s3://b/x"))
    assert "s3://b" in str(error.value)


def test_options_variable_is_read_where_it_is_used(monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    shipped = pickle.dumps(StorageOptions({"s3://b": {"secret": "env:TOKEN"}}))
    monkeypatch.setenv("TOKEN", "of the worker")
    options = pickle.loads(shipped)
    assert options.resolve(Url.parse("s3://b/x")) == {"secret": "of the worker"}
    assert b"of the worker" not in shipped


@pytest.mark.parametrize("value", [1, True, None, "plain", ["env:TOKEN"]])
def test_options_other_values_stay_as_they_are(value):
    assert from_environment(value, "here") == value


def test_options_repr_hides_values():
    store = FsspecStore(StorageOptions({"s3://b": {"secret": "hunter2"}}))
    assert "hunter2" not in repr(store)
    assert "secret" in repr(store)
