import json
import os

import pytest

from strata.jobs.cli import main

SETTINGS = """
corpus = "p"
warehouse = "{warehouse}"
[[inputs]]
path = "{folder}/in.jsonl"
"""
RIGHT = {
    "hdfs:/corpora/x": "hdfs://NAMENODE/corpora/x",
    "s3:/bucket/x": "s3://bucket/x",
    "dbfs:/x": "dbfs:///x",
    "$STRATA_NO_SUCH_VARIABLE/x": "export STRATA_NO_SUCH_VARIABLE",
}


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    monkeypatch.chdir(tmp_path / "here")

    def write(warehouse):
        file = tmp_path / "corpus.toml"
        file.write_text(SETTINGS.format(warehouse=warehouse, folder=tmp_path))
        return str(file)

    return write


def failure(capsys, argv):
    try:
        code = main(argv)
    except SystemExit as end:
        code = end.code
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["code"] == code == 2
    return f"{line['reason']} {line['hint']}"


@pytest.mark.parametrize("command", ["doctor", "plan", "run", "config"])
@pytest.mark.parametrize("place", RIGHT)
def test_warehouse_that_is_almost_a_url_is_refused(settings_of, capsys, command, place):
    assert RIGHT[place] in failure(capsys, [command, settings_of(place)])
    assert os.listdir() == []


@pytest.mark.parametrize(
    "argv",
    [["export", "documents", "--to"], ["run", "--report"], ["report", "--html"]],
    ids=["to", "report", "html"],
)
@pytest.mark.parametrize("place", RIGHT)
def test_flag_that_is_almost_a_url_is_refused(settings_of, capsys, argv, place):
    assert RIGHT[place] in failure(capsys, [*argv, place, settings_of("./wh")])
    assert os.listdir() == []


def test_warehouse_as_a_file_url_with_one_slash_is_that_folder(settings_of, capsys, tmp_path):
    file = settings_of(f"file:{tmp_path}/wh")
    assert main(["plan", file, "--json"]) == 0
    places = {row["place"] for row in json.loads(capsys.readouterr().out)["tables"].values()}
    assert all(place.startswith(f"file://{tmp_path}/wh/") for place in places)
    assert (tmp_path / "wh").is_dir()
    assert os.listdir() == []


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("folder", ["/proc", "file"])
def test_warehouse_that_cannot_be_made_is_the_machines(
    settings_of, capsys, command, folder, tmp_path
):
    # Without inputs no Spark is started beside.
    (tmp_path / "in.jsonl").unlink()
    (tmp_path / "file").touch()
    place = str(tmp_path / folder / "wh")
    told = failure(capsys, [command, settings_of(place)])
    assert place in told
    assert "name another place" in told


@pytest.mark.parametrize("flag", ["--report", "--to"])
def test_output_that_cannot_be_made_is_told_before_the_work(settings_of, capsys, flag, tmp_path):
    place = "/proc/no/such/folder"
    argv = {"--report": ["run"], "--to": ["export", "documents"]}[flag]
    told = failure(capsys, [*argv, flag, place, settings_of("wh")])
    assert f"cannot write file://{place}" in told
    assert not (tmp_path / "wh" / "p").exists()


@pytest.mark.parametrize("argv", [["plan"], ["run"], ["export", "documents", "--to", "x"]])
def test_deleted_current_directory_is_told(settings_of, capsys, argv, tmp_path):
    file = settings_of("wh")
    (tmp_path / "here").rmdir()
    assert "directory" in (told := failure(capsys, [*argv, file]))
    assert "was deleted" in told
