"""`strata storage rewrite` from the outside: partitions on disk, and the same rows."""

from __future__ import annotations

import json

import pytest

from tests.support.processes.commands import Project

NO_JAVA = {"JAVA_HOME": "", "PATH": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}


def contents(project: Project) -> dict[str, list[str]]:
    """The rows of the final tables, in no order: exports follow the files."""
    return {
        table: sorted(json.dumps(row, sort_keys=True) for row in rows)
        for table, rows in project.contents().items()
    }


def test_rewrite_partitions_tables_and_changes_no_row(project: Project) -> None:
    partitions = 'partitions={documents=["bucket(2, id)"], tokens=["source"]}'
    project.run_all("--set", partitions)
    before = contents(project)
    folders = {file.parent.name for file in (project.folder / "cold").rglob("*.parquet")}
    assert folders >= {"id_bucket_2=0", "id_bucket_2=1"}

    flags = ("--table", "documents", "--partition-by", "lang, bucket(4,id)", "--order", "url")
    command = ("storage", "rewrite", str(project.file), *flags, "--json")
    planned = project.run(*command, "--dry-run", env=NO_JAVA)
    assert planned.code == 0, planned.err
    (row,) = json.loads(planned.out)["rewrites"]
    assert (row["table"], row["step"]) == ("documents", "partition")

    done = project.run(*command, "--master", "local[2]")
    assert done.code == 0, done.err
    (stage,) = json.loads(done.out)["stages"]
    assert stage["rows_in"] == stage["rows_out"] > 0
    assert stage["details"]["tables"]["documents"]["steps"][0]["partitions"] == 4
    again = project.run(*command, env=NO_JAVA)
    assert again.code == 0, again.err
    assert json.loads(again.out)["stages"][0]["status"] == "skipped"
    assert contents(project) == before
    # The results are what they were, so nothing is made anew.
    assert {s["status"] for s in project.run_all("--set", partitions)["stages"][:3]} == {"skipped"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--partition-by", "source"), "--partition-by 'source' names no table"),
        (("--table", "documents", "--partition-by", "text"), "by the column 'text'"),
        (("--table", "clusters"), "invalid choice: 'clusters'"),
        (("--order", "size"), "invalid choice: 'size'"),
        (("--target-file-mb", "0"), "no size of a file"),
    ],
)
def test_rewrite_flags_that_cannot_work_exit_code_and_json_line(
    project: Project, flags: tuple[str, ...], words: str
) -> None:
    done = project.run("storage", "rewrite", str(project.file), *flags, env=NO_JAVA)
    assert done.code == done.failure["code"] == 2
    assert words in done.failure["reason"]
