"""Commands from the outside: results, exit codes, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.processes.commands import Project

NO_JAVA = {"JAVA_HOME": "", "PATH": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}


def test_run_report_accounts_for_every_row(undisturbed: Project) -> None:
    (file,) = (undisturbed.folder / "wh" / "web" / "reports").glob("*.json")
    report = json.loads(file.read_text())

    assert [stage["stage"] for stage in report["stages"]] == [
        "shard", "dedup", "tokenize", "compress",
    ]  # fmt: skip
    for stage in report["stages"]:
        out = sum(stage["rejected"].values()) + sum(stage["removed"].values())
        assert stage["rows_in"] == stage["rows_out"] + out
    assert report["tables"]["tokens"]["rows"] == len(undisturbed.export("documents"))
    assert report["tables"]["documents"]["location"].startswith(f"file://{undisturbed.folder}/cold")


def test_run_again_nothing_to_do_needs_no_java(undisturbed: Project) -> None:
    done = undisturbed.run("run", str(undisturbed.file), "--json", env=NO_JAVA)

    assert done.code == 0, done.err
    assert {stage["status"] for stage in json.loads(done.out)["stages"]} == {"skipped"}


def test_dry_run_needs_no_java_and_writes_nothing(project: Project) -> None:
    done = project.run("run", str(project.file), "--dry-run", "--json", env=NO_JAVA)

    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["inputs"]["files to read"] == 3
    assert facts["shard"]["splits"] >= 3
    assert not list((project.folder / "wh").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("flag", "code", "words"),
    [
        ("dedup.treshold=0.9", 2, "threshold"),
        ("dedup.threshold=7", 2, "dedup.threshold"),
        ('inputs=[{path="nowhere/*.jsonl"}]', 3, "nowhere"),
    ],
)
def test_run_wrong_settings_exit_code_and_json_line(
    project: Project, flag: str, code: int, words: str
) -> None:
    done = project.run("run", str(project.file), "--set", flag, env=NO_JAVA)

    assert done.code == code
    assert done.failure["code"] == code
    assert words in f"{done.failure['reason']} {done.failure['hint']}"


def test_run_settings_file_missing_exit_code_2(project: Project) -> None:
    done = project.run("run", "absent.toml")

    assert done.code == 2
    assert "absent.toml" in done.failure["reason"]


def test_unknown_flag_exit_code_2_and_json_line(project: Project) -> None:
    done = project.run("run", str(project.file), "--fast")

    assert done.code == 2
    assert "--fast" in done.failure["reason"]


def test_run_unreadable_records_exit_code_3_with_places(project: Project) -> None:
    (project.inputs / "bad.jsonl").write_bytes(b'{"id": "x"}\n' * 50)

    done = project.run("run", str(project.file), "--master", "local[1]")

    assert done.code == 3
    assert "missing_text" in done.failure["reason"]
    assert "bad.jsonl:0" in done.failure["reason"]


def test_run_one_core_same_ledger_bytes(undisturbed: Project, project: Project) -> None:
    project.run_all("--master", "local[1]", "--set", 'spark."spark.sql.shuffle.partitions"=7')

    assert project.exported_bytes("clusters") == undisturbed.exported_bytes("clusters")


def test_config_tells_where_values_come_from(project: Project) -> None:
    done = project.run("config", str(project.file), "--set", "dedup.ngram=7")

    assert done.code == 0
    line = next(line for line in done.out.splitlines() if line.startswith("ngram"))
    assert "7" in line
    assert "--set" in line


def test_doctor_working_machine_exit_code_0(project: Project) -> None:
    done = project.run("doctor", str(project.file), "--json")

    assert done.code == 0, done.out + done.err


def test_doctor_without_java_names_the_remedy(project: Project, tmp_path: Path) -> None:
    done = project.run("doctor", env={**NO_JAVA, "XDG_CACHE_HOME": str(tmp_path)})

    assert "ava" in done.out
