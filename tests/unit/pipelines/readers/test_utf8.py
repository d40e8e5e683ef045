"""Whether strings are UTF-8, against Python's own decoder."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from strata.pipelines.readers.utf8 import BLOCK, are_utf8

# The first and last of every length, and what borders on them.
SEQUENCES = [
    *(chr(code).encode() for code in (0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF)),
    *(chr(code).encode() for code in (0x10000, 0x10FFFF)),
    *(
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2\x41",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xe1\x80",
    ),
    *(
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"\x80",
        b"\xf1\x80\x80",
    ),
]


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def checked(strings: list[bytes]) -> bool:
    return asked(b"".join(strings), [0, *np.cumsum([len(each) for each in strings])])


def asked(data: bytes, offsets: list[int]) -> bool:
    places = np.array(offsets, np.int64)
    places.flags.writeable = False
    return bool(are_utf8(np.frombuffer(data, np.uint8), places))


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_utf8_at_every_edge_of_a_block_equals_python(sequence):
    edges = (0, 1, 2, 3, BLOCK - 2, BLOCK, BLOCK + 2, 2 * BLOCK - 1)
    for letter, before, after in itertools.product("aé中", edges, (0, 1, 4)):
        data = (letter * before).encode() + sequence + (letter * after).encode()
        assert checked([data]) == is_utf8(data)


def test_utf8_random_bytes_equal_python():
    sampling_hash = random.Random(7)
    pieces = [*SEQUENCES[:10], "中文".encode(), "é".encode(), b"plain text ", *SEQUENCES]
    for _ in range(3_000):
        strings = [
            b"".join(
                sampling_hash.choices(
                    pieces[:13] if sampling_hash.random() < 0.8 else pieces,
                    k=sampling_hash.randrange(8),
                )
            )
            for _ in range(sampling_hash.randrange(1, 5))
        ]
        assert checked(strings) == all(map(is_utf8, strings))


def test_utf8_character_cut_by_the_end_of_a_string_is_none():
    assert not checked(["é".encode()[:1], "é".encode()[1:]])


def test_utf8_looks_only_at_its_strings():
    assert asked(b"\xffab\xff", [1, 3])
    assert asked(b"\xffab\xff", [2, 2])
    assert not asked(b"\xffab\xff", [1, 4])
