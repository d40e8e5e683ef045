import unicodedata

import pytest

from strata.jobs.display.text import escape_control_chars


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/bold] ~", "plain [bold]text[/bold] ~"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\tb\nc\r", "a\\tb\\nc\\r"),
        ("no\xa0break", "no\\xa0break"),
        ("\u202eright to left", "\\u202eright to left"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b1m", "\\x9b1m"),
        ("café 漢字 😀 e\u0301", "café 漢字 😀 e\u0301"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_visible_shows_what_steers_a_terminal_and_leaves_the_rest(text, shown):
    assert escape_control_chars(text) == shown


def test_visible_of_every_character_has_no_control_left():
    # All of the scripts in use, surrogates and tags; of the rest, every seventh.
    dense = (*range(0x3100), *range(0xD700, 0x1_0000), *range(0xE_0000, 0xE_0200))
    for code in (*dense, *range(0x3100, 0x11_0000, 7)):
        shown = escape_control_chars(chr(code))
        assert shown == chr(code) or shown.isascii()
        assert all(unicodedata.category(character) not in {"Cc", "Cf"} for character in shown)
