"""The public names: what importing and opening do, and what they refuse."""

import subprocess
import sys
from pathlib import Path

import pytest

import strata
from strata import errors

IMPORT = """
import sys, threading, time
before = set(sys.modules)
began = time.perf_counter()
import strata
seconds = time.perf_counter() - began
new = {name for name in set(sys.modules) - before if name.startswith("strata")}
print(seconds, len(threading.enumerate()), *sorted(new))
"""
HEAVY = """
import sys
import strata
corpus = strata.open(sys.argv[1])
heavy = {"pyarrow", "numpy", "pandas", "pyspark", "pyiceberg", "fsspec", "duckdb", "polars"}
print(corpus.name, sorted(heavy & set(sys.modules)))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" ", 1)


@pytest.fixture
def file(tmp_path):
    target = tmp_path / "corpus.toml"
    target.write_text(
        f"corpus = 'web'\nwarehouse = '{tmp_path}/wh'\n[[inputs]]\npath = '{tmp_path}/in'\n"
    )
    return target


def test_import_takes_less_than_50_ms_and_starts_nothing():
    answers = [run(IMPORT) for _ in range(5)]

    # The quickest of some: the others tell how busy the machine is.
    assert min(float(seconds) for seconds, _ in answers) < 0.05
    assert answers[0][1].split() == ["1", "strata", "strata.version"]


def test_open_reads_the_settings_only(file, tmp_path):
    name, heavy = run(HEAVY, str(file))

    assert (name, heavy.strip()) == ("web", "[]")
    assert [each.name for each in tmp_path.iterdir()] == ["corpus.toml"]


def test_public_names_are_all_there():
    assert {name for name in strata.__all__ if getattr(strata, name) is not None} == set(
        strata.__all__
    )
    assert set(strata.__all__) <= set(dir(strata))
    assert {name for name in errors.__all__ if getattr(strata, name) is getattr(errors, name)} == (
        set(errors.__all__)
    )


def test_public_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        strata.opne  # noqa: B018


def test_open_overrides_win_over_the_file(file):
    overrides = {
        "dedup.threshold": 0.9,
        "shard.changed_inputs": "rebuild",
        "dedup.survivor": ["longest", "first"],
        "warehouse": Path("elsewhere"),
        'spark."spark.ui.enabled"': True,
        "tokenize.train": {"vocab_size": 300},
    }

    settings = strata.open(str(file), overrides).settings

    assert (settings.dedup.threshold, settings.shard.changed_inputs) == (0.9, "rebuild")
    assert settings.dedup.survivor == ("longest", "first")
    assert settings.warehouse == "elsewhere"
    assert settings.spark["spark.ui.enabled"] is True
    assert settings.tokenize.train.vocab_size == 300


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"dedup.treshold": 0.9}, "treshold"),
        ({"dedup.threshold": "much"}, "threshold"),
        ({"dedup.threshold": object()}, "override of dedup.threshold is <object"),
    ],
)
def test_open_overrides_that_cannot_work_are_a_settings_error(file, overrides, reason):
    with pytest.raises(strata.SettingsError, match=reason):
        strata.open(file, overrides)


def test_open_without_the_file_names_it(tmp_path):
    with pytest.raises(strata.SettingsError, match=r"there is no settings file .*none\.toml"):
        strata.open(tmp_path / "none.toml")


@pytest.mark.parametrize("stages", [(), ("shard", "dedupe"), "shard"])
def test_run_of_unknown_stages_lists_those_that_are(file, stages):
    with pytest.raises(strata.SettingsError, match="list some of run, shard, dedup, tokenize"):
        strata.open(file).run(stages)
