"""`strata storage move` as a command, on Spark."""

from __future__ import annotations

import json

from tests.support.processes.commands import Project

RULE = """
[[lifecycle]]
tables = ["documents", "tokens"]
to = "warehouse"
"""


def test_move_then_nothing_is_left_to_move_and_all_rows_are_there(
    project: Project, undisturbed: Project
) -> None:
    project.run_all()
    project.file.write_text(project.file.read_text() + RULE)

    planned = project.run("storage", "plan", str(project.file), "--json")
    plan = json.loads(planned.out)
    assert {(move["from"], move["to"]) for move in plan["moves"]} == {("cold", "warehouse")}
    assert plan["seconds"] is None
    dry = project.run("storage", "move", str(project.file), "--dry-run", "--json")
    assert json.loads(dry.out) == plan

    moved = project.run("storage", "move", str(project.file), "--master", "local[2]", "--json")
    assert moved.code == 0, moved.err
    (stage,) = json.loads(moved.out)["stages"]
    assert stage["rows_in"] == stage["rows_out"] > 0
    assert sum(move["files"] for move in stage["details"]["moves"]) == plan["files"]
    assert json.loads(project.run("storage", "plan", str(project.file), "--json").out)["files"] == 0
    assert project.run("storage", "verify", str(project.file), "-q").code == 0
    # Nothing is left to do, so Spark does not start: neither for a move nor for compaction.
    without_java = {"JAVA_HOME": "/nowhere", "PATH": "/nowhere"}
    for command in (("storage", "move"), ("compress",)):
        again = project.run(*command, str(project.file), "--json", env=without_java)
        assert again.code == 0, again.err
        assert [each["status"] for each in json.loads(again.out)["stages"]] == ["skipped"]
    assert project.contents() == undisturbed.contents()
