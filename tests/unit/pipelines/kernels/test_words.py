import unicodedata

import numpy as np
import pytest

from strata.pipelines.kernels.words import (
    BREAK_AFTER,
    BREAK_BEFORE,
    CODE_POINTS,
    build_table,
    word_table,
)

OWN = BREAK_BEFORE | BREAK_AFTER


def test_words_shipped_table_equals_unicode_3_characters():
    # characters that were there in Unicode 3.2 mean the same to every Python
    old = [c for c in range(CODE_POINTS) if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"]
    shipped, built = word_table()[old], build_table()[old]
    assert np.flatnonzero(shipped != built).size == 0
    assert len(word_table()) == CODE_POINTS


@pytest.mark.parametrize(
    ("char", "entry"),
    [
        ("a", ord("a")),
        ("A", ord("a")),
        ("_", ord("_")),
        ("7", ord("7")),
        ("É", ord("é")),
        ("Ж", ord("ж")),
        ("ß", ord("ß")),
        (" ", 0),
        ("-", 0),
        ("\u0301", 0),
        ("。", 0),
        ("İ", ord("i") | BREAK_AFTER),
        ("中", ord("中") | OWN),
        ("々", ord("々") | OWN),
        ("ひ", ord("ひ") | OWN),
        ("カ", ord("カ") | OWN),
        ("ｶ", ord("ｶ") | OWN),
        ("\U00020000", 0x20000 | OWN),
        ("한", ord("한")),
        ("\ud800", 0),
    ],
)
def test_words_entry_of_character_is_as_documented(char, entry):
    assert word_table()[ord(char)] == entry
