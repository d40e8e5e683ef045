import os
import pickle
from pathlib import Path

import pytest

from strata.errors import SettingsError
from strata.storage.contracts.url import Url


@pytest.mark.parametrize(
    ("text", "canonical", "path"),
    [
        ("/a/b", "file:///a/b", "/a/b"),
        ("/a//b/../c/", "file:///a/c", "/a/c"),
        ("file:///a/b/", "file:///a/b", "/a/b"),
        ("local:///a", "file:///a", "/a"),
        ("/", "file:///", "/"),
        ("/a::b/c d%20?[x]", "file:///a::b/c d%20?[x]", "/a::b/c d%20?[x]"),
        ("S3://b/k/", "s3://b/k", "b/k"),
        ("s3://b/a//k", "s3://b/a//k", "b/a//k"),
        ("memory://a/b", "memory://a/b", "/a/b"),
        ("memory:///a/b", "memory://a/b", "/a/b"),
    ],
)
def test_url_parse_gives_one_spelling(text, canonical, path):
    url = Url.parse(text)
    assert str(url) == canonical
    assert url.path == path
    assert Url.parse(str(url)) == url
    assert Url.parse(url) is url


def test_url_relative_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(Url.parse("x/y.parquet")) == f"file://{tmp_path}/x/y.parquet"
    assert Url.parse(Path("x")) == Url.parse("./x")


@pytest.mark.parametrize("text", ["", "simplecache::s3://b/k", "a\0b"])
def test_url_impossible_text_is_refused(text):
    with pytest.raises(SettingsError):
        Url.parse(text)


def test_url_password_is_refused_without_showing_it():
    with pytest.raises(SettingsError) as error:
        Url.parse("sftp://me:hunter2@host/x")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "root", ["file:///", "file:///a", "s3://b", "s3://b/a", "memory://", "memory://a"]
)
def test_url_join_and_parent_are_inverse(root):
    base = Url.parse(root)
    child = base / "x" / "y.tar.zst"
    assert child == base / "x/y.tar.zst"
    assert (child.name, child.suffix) == ("y.tar.zst", ".zst")
    assert child.parent.parent == base
    assert child.is_below(base)
    assert not base.is_below(child)
    assert not base.is_below(base)
    assert "//" not in str(child).partition("://")[2].removeprefix("/")


@pytest.mark.parametrize("relative", ["", "/x", "a//b", "a/../b", ".", "a/"])
def test_url_join_refuses_what_is_not_below(relative):
    with pytest.raises(ValueError, match="below"):
        Url.parse("/a") / relative


def test_url_sibling_with_same_prefix_is_not_below():
    assert not Url.parse("s3://bucket2/x").is_below(Url.parse("s3://bucket"))
    assert not Url.parse("/a/bc").is_below(Url.parse("/a/b"))
    assert not Url.parse("s3://a/b").is_below(Url.parse("memory://a"))


def test_url_pickles_hashes_and_orders():
    urls = [Url.parse("s3://b/z"), Url.parse("/a"), Url.parse("/a")]
    assert pickle.loads(pickle.dumps(urls)) == urls
    assert len(set(urls)) == 2
    assert sorted(urls)[-1] == urls[0]


@pytest.mark.parametrize("scheme", ["hdfs", "webhdfs"])
def test_url_path_of_hdfs_has_the_name_whole(scheme):
    assert Url.parse(f"{scheme}://node:9870/a b/c?d=1#e%20.txt").path == "/a b/c?d=1#e%20.txt"
    assert Url.parse(f"{scheme}://node:9870").path == "/"


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        (b"caf\xe9.jsonl", "caf%E9.jsonl"),
        (b"50%\xff", "50%25%FF"),
        ("é\udce9".encode("utf-8", "surrogateescape"), "é%E9"),
        (b"%E9\xed\xa0\x80", "%25E9%ED%A0%80"),
    ],
)
def test_url_of_a_name_that_is_not_utf8_is_text_and_leads_back(name, encoded):
    url = Url.parse(os.fsdecode(b"/in/" + name))
    assert str(url) == f"file+percent:///in/{encoded}"
    str(url).encode()
    assert Url.parse(str(url)) == url
    assert os.fsencode(Url.parse(str(url)).path) == b"/in/" + name


def test_url_percent_signs_of_other_names_are_themselves():
    assert str(Url.parse("/in/caf%E9")) == "file:///in/caf%E9"
    assert Url.parse("file+percent:///in/caf%C3%A9") == Url.parse("/in/café")
    assert Url.parse("/in/caf%E9") != Url.parse("file+percent:///in/caf%E9")


def test_url_of_a_half_surrogate_pair_is_text():
    url = Url("s3", "b/\ud800")
    assert str(url) == "s3+percent://b/%ED%A0%80"
    assert str(Url.parse(str(url))) == str(url)


def test_url_with_an_encoded_nul_is_refused():
    with pytest.raises(SettingsError):
        Url.parse("file+percent:///a%00b")
