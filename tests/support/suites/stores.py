"""The behaviour that every store keeps, as one suite that each lane runs over its stores."""

import os
import pickle
import random
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from strata.errors import InputMissingError, StrataError
from strata.storage.contracts.store import ByteRange
from strata.storage.contracts.url import Url

ODD_NAMES = (
    *("with space", "a+b", "100%20", "what?x=1", "hash#1", "ümläut", "汉字", "br[1]", "semi;x"),
    *("com,ma", "star*", "am&p", "quote'", "tilde~", "at@"),
)


class StoreTests:
    """What every store keeps, wrapped or not; subclasses say how it is wrapped.

    The lane gives ``any_folder``, an empty folder on each kind of store in turn, and ``any_store``.
    """

    def wrap(self, store):
        return store

    @pytest.fixture
    def subject(self, any_store):
        return self.wrap(any_store)

    @pytest.fixture
    def odd_names(self):
        return ODD_NAMES

    def test_store_written_bytes_read_back(self, subject, any_folder):
        url = any_folder / "new/folder/x.bin"
        subject.write_bytes(url, b"one")
        subject.write_bytes(url, b"two!")
        assert subject.read_bytes(url) == b"two!"
        assert subject.info(url).size == 4
        assert subject.exists(url)

    def test_store_empty_file_is_a_file(self, subject, any_folder):
        subject.write_bytes(any_folder / "empty", b"")
        assert subject.read_bytes(any_folder / "empty") == b""
        assert subject.info(any_folder / "empty").size == 0

    def test_store_input_seeks_and_reads_lines(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"first\nsecond\nlast")
        with subject.open_input(any_folder / "x") as file:
            assert file.seekable()
            assert file.seek(6) == 6
            assert file.readline() == b"second\n"
            assert file.tell() == 13
            assert file.seek(-4, os.SEEK_END) == 13
            assert file.read() == b"last"
            assert file.read(5) == b""
            file.seek(0)
            buffer = bytearray(5)
            assert file.readinto(buffer) == 5
            assert buffer == b"first"
            assert list(file) == [b"\n", b"second\n", b"last"]

    def test_store_read_ranges_keep_their_order(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", bytes(range(100)))
        ranges = [ByteRange(90, 100), ByteRange(0, 2), ByteRange(1, 4)]
        assert subject.read_ranges(any_folder / "x", ranges) == [
            bytes(range(90, 100)),
            b"\0\1",
            b"\1\2\3",
        ]

    def test_store_tail_comes_with_the_facts_of_its_file(self, subject, any_folder):
        url, data = any_folder / "x", bytes(range(200))
        for content in (data, data[:50], data[:7], b""):
            subject.write_bytes(url, content)
            assert subject.read_tail(url, 50) == (subject.info(url), content[-50:])
        with pytest.raises(InputMissingError, match=re.escape(str(any_folder / "none"))):
            subject.read_tail(any_folder / "none", 50)

    def test_store_unclosed_output_is_not_there(self, subject, any_folder):
        url = any_folder / "x"
        file = subject.create(url)
        file.write(b"half")
        assert not subject.exists(url)
        file.close()
        assert subject.read_bytes(url) == b"half"

    def test_store_forgotten_output_never_appears(self, subject, any_folder):
        file = subject.create(any_folder / "x")
        file.write(b"half")
        del file
        assert subject.find(any_folder) == []

    def test_store_failed_block_keeps_the_former_content(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"old")

        def fail():
            with subject.create(url) as file:
                file.write(b"new")
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            fail()
        assert subject.read_bytes(url) == b"old"
        assert [info.url for info in subject.find(any_folder)] == [url]

    def test_store_discard_twice_and_close_after_is_harmless(self, subject, any_folder):
        file = subject.create(any_folder / "x")
        file.discard()
        file.discard()
        file.close()
        assert not subject.exists(any_folder / "x")

    def test_store_find_lists_folder_glob_and_file_sorted(self, subject, any_folder):
        names = ["a/1.txt", "a/b/2.txt", "a/b/3.md", "c.txt"]
        for name in reversed(names):
            subject.write_bytes(any_folder / name, name.encode())

        def found(url):
            return [str(info.url).removeprefix(f"{any_folder}/") for info in subject.find(url)]

        assert found(any_folder) == names
        assert found(any_folder / "a") == names[:3]
        assert found(any_folder / "a/**/*.txt") == names[:2]
        assert found(any_folder / "*.txt") == ["c.txt"]
        assert found(any_folder / "a/*") == names[:3]
        assert found(any_folder / "c.txt") == ["c.txt"]
        assert found(any_folder / "none") == []
        assert [info.size for info in subject.find(any_folder)] == [len(n) for n in names]

    def test_store_find_takes_an_existing_name_with_brackets_literally(self, subject, any_folder):
        subject.write_bytes(any_folder / "x[1].txt", b"1")
        assert [info.url.name for info in subject.find(any_folder / "x[1].txt")] == ["x[1].txt"]

    def test_store_identity_changes_with_the_content(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"one")
        before = subject.info(url)
        assert before == subject.info(url) == subject.find(any_folder)[0]
        subject.write_bytes(url, b"two")
        assert subject.info(url).identity != before.identity
        assert before.identity

    def test_store_missing_file_is_named(self, subject, any_folder):
        url = any_folder / "not-there"
        for call in (subject.info, subject.read_bytes):
            with pytest.raises(InputMissingError, match="not-there"):
                call(url)
        assert not subject.exists(url)

    def test_store_folder_is_no_file(self, subject, any_folder):
        subject.write_bytes(any_folder / "d/x", b"")
        assert not subject.exists(any_folder / "d")

    def test_store_deleted_file_is_gone(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"1")
        subject.delete(any_folder / "x")
        assert not subject.exists(any_folder / "x")
        subject.delete(any_folder / "x")

    def test_store_pickle_round_trip_keeps_working(self, subject, any_folder):
        subject.write_bytes(any_folder / "x", b"1")
        copy = pickle.loads(pickle.dumps(subject))
        assert copy.read_bytes(any_folder / "x") == b"1"

    def test_store_pickle_and_repr_hold_no_secret(self, subject):
        secrets = [value for name, value in os.environ.items() if name.startswith("STRATA_TEST_")]
        shown = repr(subject)
        pickled = pickle.dumps(subject)
        assert not any(secret in shown or secret.encode() in pickled for secret in secrets)

    def test_store_large_file_written_in_pieces_round_trips(self, subject, any_folder):
        # On a store that uploads in parts these are several, and the last one is short.
        data = random.Random(1).randbytes(12_000_001)
        url = any_folder / "large"
        with subject.create(url) as file:
            for start in range(0, len(data), 700_000):
                file.write(data[start : start + 700_000])
            assert file.tell() == len(data)
        assert subject.info(url).size == len(data)
        assert subject.read_bytes(url) == data
        with subject.open_input(url) as file:
            assert b"".join(iter(lambda: file.read(999_999), b"")) == data

    def test_store_large_file_discarded_leaves_nothing(self, subject, any_folder):
        file = subject.create(any_folder / "large")
        for _ in range(12):
            file.write(bytes(1_000_000))
        file.discard()
        assert subject.find(any_folder) == []

    def test_store_ranges_at_the_ends_and_beyond(self, subject, any_folder):
        data = bytes(range(200))
        url = any_folder / "x"
        subject.write_bytes(url, data)
        ranges = [ByteRange(0, 1), ByteRange(199, 200), ByteRange(190, 300), ByteRange(7, 7)]
        assert subject.read_ranges(url, ranges) == [data[r.start : r.end] for r in ranges]
        assert subject.read_ranges(url, []) == []
        with subject.open_input(url) as file:
            file.seek(195)
            assert file.read(100) == data[195:]
            assert file.read(1) == b""
            file.seek(500)
            assert file.read(1) == b""

    def test_store_ranges_of_a_missing_file_name_it(self, subject, any_folder):
        with pytest.raises(InputMissingError, match="not-there"):
            subject.read_ranges(any_folder / "not-there", [ByteRange(0, 1)])

    def test_store_odd_names_are_taken_literally(self, subject, any_folder, odd_names):
        for name in odd_names:
            subject.write_bytes(any_folder / name / name, name.encode())
        found = [info.url for info in subject.find(any_folder)]
        assert found == sorted(any_folder / name / name for name in odd_names)
        for name in odd_names:
            url = any_folder / name / name
            assert Url.parse(str(url)) == url
            assert subject.read_bytes(url) == name.encode()
            assert subject.read_ranges(url, [ByteRange(0, 1)]) == [name.encode()[:1]]
            subject.delete(url)
            assert not subject.exists(url)
        assert subject.find(any_folder) == []

    def test_store_replaced_file_is_never_mixed_with_its_former_self(self, subject, any_folder):
        url = any_folder / "x"
        subject.write_bytes(url, b"1" * 10_000_000)
        with subject.open_input(url) as file:
            first = file.read(10)
            subject.write_bytes(url, b"2" * 10_000_000)
            # The rest as it was, or the news that it was replaced.
            with suppress(StrataError):
                assert set(first + file.read()) == {ord("1")}
        assert set(subject.read_bytes(url)) == {ord("2")}

    def test_store_folder_whose_last_file_went_takes_new_ones(self, subject, any_folder):
        url = any_folder / "a/b/x"
        subject.write_bytes(url, b"1")
        subject.delete(url)
        assert subject.find(any_folder) == []
        assert subject.find(any_folder / "a/b") == []
        assert not subject.exists(any_folder / "a")
        subject.write_bytes(url, b"2")
        assert subject.read_bytes(url) == b"2"

    def test_store_of_writers_of_one_name_the_last_wins_whole(self, subject, any_folder):
        url = any_folder / "x"
        contents = [bytes([number]) * (100_000 + number) for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda data: subject.write_bytes(url, data), contents))
        assert subject.read_bytes(url) in contents
        assert [info.url for info in subject.find(any_folder)] == [url]


class PagingTests:
    """What needs many files; not for stores that only wrap another one."""

    def test_store_find_lists_more_files_than_a_page_has(self, any_store, any_folder):
        urls = [any_folder / f"{number % 7}/{number:04}" for number in range(1_103)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda url: any_store.write_bytes(url, b""), urls))
        assert [info.url for info in any_store.find(any_folder)] == sorted(urls)
