import json
import os
import pickle

import pytest

from strata.errors import InputMissingError, SettingsError
from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.listing import list_inputs
from strata.settings import FieldMapping, InputFormat, InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()


def listing(*paths, **settings):
    return list_inputs(STORE, [InputSettings(path=str(path), **settings) for path in paths])


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(found, folder):
    return [file.uri.removeprefix(f"file://{folder}/") for file in found.files]


@pytest.mark.parametrize(
    ("name", "form", "compression"),
    [
        ("a.jsonl", "jsonl", Compression.NONE),
        ("a.ndjson.gz", "jsonl", Compression.GZIP),
        ("a.json.zst", "jsonl", Compression.ZSTD),
        ("a.JSONL.BZ2", "jsonl", Compression.BZIP2),
        ("a.jsonl.xz", "jsonl", Compression.XZ),
        ("a.JSONL.ZSTD", "jsonl", Compression.ZSTD),
        ("a.Json.GZIP", "jsonl", Compression.GZIP),
        ("a.csv.bzip2", "csv", Compression.BZIP2),
        ("a.parquet", "parquet", Compression.NONE),
        ("a.zstd.parquet", "parquet", Compression.NONE),
        ("a.csv.gz", "csv", Compression.GZIP),
        ("a.tsv", "csv", Compression.NONE),
        ("a.txt.zst", "text", Compression.ZSTD),
        ("a.md", "text", Compression.NONE),
        ("a.rst", "text", Compression.NONE),
        ("a.html", "text", Compression.NONE),
        ("__init__.py", "text", Compression.NONE),
    ],
)
def test_listing_format_follows_from_the_suffix(tmp_path, name, form, compression):
    touch(tmp_path, name)
    (file,) = listing(tmp_path).files
    assert (file.format, file.compression) == (form, compression)


def test_listing_format_by_setting_wins(tmp_path):
    touch(tmp_path, "a.dump.gz", "b.txt")
    found = listing(tmp_path, format="jsonl").files
    assert [(f.format, f.compression) for f in found] == [
        (InputFormat.JSONL, Compression.GZIP),
        (InputFormat.JSONL, Compression.NONE),
    ]


def test_listing_passes_over_what_is_no_input_and_counts_it(tmp_path):
    touch(tmp_path, "a.jsonl", ".hidden.jsonl", "_SUCCESS", "_logs/x.jsonl", ".git/x.txt")
    touch(tmp_path, "a.jsonl.crc", ".a.jsonl.crc", "b.jsonl.tmp", "c.exe", "d", "sub/e.txt")
    found = listing(tmp_path)
    assert names(found, tmp_path) == ["a.jsonl", "sub/e.txt"]
    assert found.skipped == {"hidden": 5, "temporary": 2, "unknown_format": 2}


def test_listing_folder_above_the_path_may_be_hidden(tmp_path):
    touch(tmp_path, ".cache/_in/a.jsonl")
    for path in (".cache/_in", ".cache/_in/*.jsonl", ".cache/_in/a.jsonl", ".cache/_*/*.jsonl"):
        assert names(listing(tmp_path / path), tmp_path) == [".cache/_in/a.jsonl"]


def test_listing_file_that_is_named_itself_is_never_hidden(tmp_path):
    touch(tmp_path, "_part.jsonl")
    assert names(listing(tmp_path / "_part.jsonl"), tmp_path) == ["_part.jsonl"]
    assert listing(tmp_path / "*.jsonl").skipped == {"hidden": 1}


@pytest.mark.parametrize("path", ["out/*", "out/**", "*/*", "**/*.jsonl", "out", "*"])
def test_listing_hidden_folder_that_a_glob_finds_is_passed_over(tmp_path, path):
    touch(tmp_path, "out/a.jsonl", "out/_temporary/0/b.jsonl", "out/.tmp/c.jsonl")
    found = listing(tmp_path / path)
    assert names(found, tmp_path) == ["out/a.jsonl"]
    assert set(found.skipped) == {"hidden"}


@pytest.mark.parametrize("path", ["*/_raw/*.jsonl", "*/_*/*.jsonl", "out/_raw", "out/_ra?/*"])
def test_listing_hidden_folder_that_a_glob_names_is_read(tmp_path, path):
    touch(tmp_path, "out/_raw/a.jsonl")
    assert names(listing(tmp_path / path), tmp_path) == ["out/_raw/a.jsonl"]


def test_listing_order_is_by_section_then_by_url(tmp_path):
    touch(tmp_path, "z/2.jsonl", "z/1.jsonl", "a/3.jsonl", "z/10.jsonl")
    found = listing(tmp_path / "z", tmp_path / "a")
    assert names(found, tmp_path) == ["z/1.jsonl", "z/10.jsonl", "z/2.jsonl", "a/3.jsonl"]


def test_listing_file_matched_twice_in_a_section_counts_once(tmp_path):
    touch(tmp_path, "a.jsonl", "b.jsonl")
    paths = (str(tmp_path), str(tmp_path / "*.jsonl"), str(tmp_path / "a.jsonl"))
    found = list_inputs(STORE, [InputSettings(path=paths)])
    assert names(found, tmp_path) == ["a.jsonl", "b.jsonl"]


def test_listing_skipped_file_matched_twice_counts_once(tmp_path):
    touch(tmp_path, "a.jsonl", "_SUCCESS")
    paths = (str(tmp_path), f"{tmp_path}/*")
    assert list_inputs(STORE, [InputSettings(path=paths)]).skipped == {"hidden": 1}


def test_listing_file_of_two_sections_is_refused(tmp_path):
    touch(tmp_path, "a.jsonl")
    with pytest.raises(SettingsError, match=r"a\.jsonl"):
        listing(tmp_path, tmp_path / "*.jsonl")


@pytest.mark.parametrize("path", ["nothing", "*.parquet", "none/*.jsonl", "empty"])
def test_listing_path_without_files_is_missing(tmp_path, path):
    touch(tmp_path, "a.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputMissingError, match="matches no file") as caught:
        listing(tmp_path / path)
    assert str(tmp_path / path) in str(caught.value)


def test_listing_source_is_the_folder_unless_given(tmp_path):
    touch(tmp_path, "web/a.jsonl", "web/deep/b.jsonl", "wiki/c.jsonl")
    assert {file.source for file in listing(tmp_path / "web").files} == {"web"}
    assert [file.source for file in listing(tmp_path / "web/a.jsonl").files] == ["web"]
    assert [file.source for file in listing(f"{tmp_path}/w*/*.jsonl").files] == ["web", "wiki"]
    assert {file.source for file in listing(tmp_path, source="s").files} == {"s"}


def test_listing_relative_path_starts_at_the_current_directory(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.jsonl")
    monkeypatch.chdir(tmp_path)
    assert names(listing("in/*.jsonl"), tmp_path) == ["in/a.jsonl"]


def test_listing_cause_changes_with_content_and_reading(tmp_path):
    touch(tmp_path, "a.csv")

    def cause(**settings):
        return listing(tmp_path, **settings).files[0].cause

    first = cause()
    assert cause() == first
    changed = {
        cause(source="other"),
        cause(format="text"),
        cause(delimiter=";"),
        cause(fields=FieldMapping(text="body")),
        cause(format="text", encoding="latin-1"),
    }
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    changed.add(cause())
    assert len(changed | {first}) == 7


def test_listing_numbered_file_keeps_every_fact_and_pickles(tmp_path):
    touch(tmp_path, "a.csv.gz")
    (found,) = listing(tmp_path, delimiter=";").files
    file = pickle.loads(pickle.dumps(found.numbered(7)))
    assert file.ordinal == 7
    assert file.url.path == str(tmp_path / "a.csv.gz")
    kept = ("uri", "size", "identity", "source", "format", "compression", "options", "cause")
    assert all(getattr(file, name) == getattr(found, name) for name in kept)


def test_listing_names_that_are_not_utf8_are_text_that_leads_back(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/na\xefve.jsonl", "wb") as file:
        file.write(b'{"text": "x"}\n')
    for path in (tmp_path, f"{tmp_path}/*/*.jsonl", f"file+percent://{tmp_path}/caf%E9"):
        (found,) = listing(path).files
        assert found.uri == f"file+percent://{tmp_path}/caf%E9/na%EFve.jsonl"
        assert found.source == ("caf%E9" if path != tmp_path else tmp_path.name)
        assert STORE.read_bytes(found.numbered(0).url) == b'{"text": "x"}\n'
        assert STORE.info(found.numbered(0).url).size == found.size
        json.dumps([found.uri, found.source, found.cause], ensure_ascii=False).encode()


@pytest.mark.parametrize("path", ["in", "in/*.jsonl", "**/*.jsonl"])
@pytest.mark.parametrize("target", ["nowhere.jsonl", "gone.jsonl"])
def test_listing_link_that_leads_nowhere_is_refused_or_counted(tmp_path, path, target):
    touch(tmp_path, "in/a.jsonl", "b.jsonl")
    (tmp_path / "in/gone.jsonl").symlink_to(target)
    (tmp_path / "in/linked.jsonl").symlink_to("../b.jsonl")
    with pytest.raises(InputMissingError, match="lead nowhere") as caught:
        listing(tmp_path / path)
    assert str(tmp_path / path) in str(caught.value)
    assert str(tmp_path / "in/gone.jsonl") in str(caught.value)
    assert "missing" in (caught.value.hint or "")
    found = listing(tmp_path / path, missing="skip")
    assert {"in/a.jsonl", "in/linked.jsonl"} <= set(names(found, tmp_path))
    assert found.skipped == {"dangling_link": 1}


def test_listing_path_of_nothing_but_links_that_lead_nowhere_is_missing(tmp_path):
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    with pytest.raises(InputMissingError, match="matches no file"):
        listing(tmp_path / "gone.jsonl", missing="skip")
    assert listing(tmp_path, missing="skip").skipped == {"dangling_link": 1}


def test_listing_passes_over_pipes_and_linked_folders(tmp_path):
    touch(tmp_path, "in/a.jsonl", "other/b.jsonl")
    (tmp_path / "in/more.jsonl").symlink_to("../other")
    os.mkfifo(tmp_path / "in/pipe.jsonl")
    found = listing(tmp_path / "in", format="jsonl")
    assert names(found, tmp_path) == ["in/a.jsonl"]
    assert found.skipped == {"linked_folder": 1, "special_file": 1}
