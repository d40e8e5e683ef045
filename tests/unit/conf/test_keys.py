import subprocess
import sys

import pytest

from strata.keys import stage_key

BASE = ("shard", 1, ["a", "b"], {"ngram": 5, "rules": ["first"]})


def test_key_is_32_hexadecimal_digits_and_never_changes():
    # It is stored in tables: another value would build every corpus anew.
    assert stage_key(*BASE) == "4f2030d2596ea4b05acd0ef45ebb86ab"


@pytest.mark.parametrize(
    "other",
    [
        ("dedup", 1, ["a", "b"], BASE[3]),
        ("shard", 2, ["a", "b"], BASE[3]),
        ("shard", 1, ["b", "a"], BASE[3]),
        ("shard", 1, ["ab"], BASE[3]),
        ("shard", 1, ["a", "b"], {"ngram": "5", "rules": ["first"]}),
        ("shard", 1, ["a", "b"], {"ngram": 5, "rules": ["longest"]}),
        ("shard", 1, ["a", "b"], {"ngram": 5}),
        ("shard", 1, ["a", "b", ""], BASE[3]),
    ],
)
def test_key_anything_that_decides_the_result_changes_it(other):
    assert stage_key(*other) != stage_key(*BASE)


def test_key_order_of_the_settings_does_not_matter():
    stage, version, causes, settings = BASE
    turned = dict(reversed(settings.items()))
    assert stage_key(stage, version, tuple(causes), turned) == stage_key(*BASE)


def test_key_is_the_same_in_another_process():
    code = f"from strata.keys import stage_key; print(stage_key(*{BASE!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stage_key(*BASE)


def test_key_of_equal_numbers_is_the_same():
    # A default of 256 is validated as 256.0 once somebody writes it into the settings.
    whole, float_ = ({"limits": [{"max_mb": number}]} for number in (256, 256.0))
    assert stage_key("shard", 1, [], whole) == stage_key("shard", 1, [], float_)
    assert stage_key("shard", 1, [], {"x": 0.5}) != stage_key("shard", 1, [], {"x": 0})
