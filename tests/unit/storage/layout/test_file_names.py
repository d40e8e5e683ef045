import time

import pytest

from strata.storage.layout.file_names import NamedFacts, facts_of_name, file_name, newest_created_ms


@pytest.mark.parametrize(
    ("tag", "codec", "level"), [("zstd-3", "zstd", 3), ("snappy", "snappy", None)]
)
def test_name_tells_codec_level_and_birth(tag, codec, level):
    name = file_name("shard-00001-7-0", tag, 1_700_000_000_123)
    assert name.startswith("shard-00001-7-0-")
    assert facts_of_name(name) == NamedFacts(codec, level, 1_700_000_000_123)


def test_name_without_a_birth_is_born_now():
    before = time.time_ns() // 1_000_000
    born = facts_of_name(file_name("x", "zstd-3")).created_ms
    assert before <= born <= time.time_ns() // 1_000_000


def test_name_is_given_once():
    assert len({file_name("x", "zstd-3", 5) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["part-0.parquet", "x.zstd-3.parquet", "README.md"])
def test_name_of_another_writer_tells_nothing(name):
    assert facts_of_name(name) == NamedFacts()


def test_name_with_a_random_uuid_tells_no_birth():
    name = "x-0-2b1c9a34f7c84b0e9d7e0c9a34f7c84b.zstd-3.parquet"
    assert facts_of_name(name) == NamedFacts("zstd", 3, None)


def test_youngest_of_several_files_counts_and_a_silent_one_hides_it():
    urls = [f"file:///d/{file_name('x', 'zstd-3', born)}" for born in (5, 9, 7)]
    assert newest_created_ms(urls) == 9
    assert newest_created_ms([*urls, "file:///d/other.parquet"]) is None
    assert newest_created_ms([]) is None
