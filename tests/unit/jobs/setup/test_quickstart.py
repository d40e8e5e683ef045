import io
import json

import pyarrow.parquet as pq
import pytest
import zstandard

from strata.jobs.setup.quickstart import main, prepare
from strata.layers import load_settings
from strata.settings import TrainSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick start")
    prepare(folder)
    return folder


def test_quickstart_settings_are_valid_and_complete(folder):
    settings = load_settings(folder / "quickstart.toml").settings
    assert [each.source for each in settings.inputs] == [
        "python",
        "libraries",
        "licences",
        "packages",
        "docs",
    ]
    assert settings.warehouse == f"{folder}/warehouse"
    # Training shall not be what takes longest.
    assert settings.tokenize.train.sample_mb < TrainSettings(vocab_size=16_000).sample_mb


def test_quickstart_stdlib_leaves_installed_packages_out(folder):
    settings = load_settings(folder / "quickstart.toml").settings
    assert not any("site-packages" in path for path in settings.inputs[0].paths)


def test_quickstart_packages_are_json_lines_with_text(folder):
    packed = (folder / "input/packages.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read().splitlines()
    records = [json.loads(line) for line in lines]
    assert "pyspark" in {record["name"] for record in records}
    assert all(record["description"] for record in records)


def test_quickstart_topics_are_parquet_with_text(folder):
    table = pq.read_table(folder / "input/topics.parquet")
    assert table.column_names == ["id", "text", "lang"]
    assert table.num_rows > 50


def test_quickstart_again_leaves_files_alone(folder, capsys):
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    assert main([str(folder)]) == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}
