"""`strata storage verify --repair`, `tag` and `rollback` as commands, on Spark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strata.storage.contracts.url import Url
from tests.support.processes.commands import Project


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "documents": flip,
    "fingerprints": Path.unlink,
    "clean": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "tokens": flip,
}


def test_damage_is_found_repaired_and_a_tagged_state_returns(
    project: Project, undisturbed: Project
) -> None:
    def say(action: str, *flags: str) -> tuple[int, dict[str, Any]]:
        done = project.run("storage", action, str(project.file), *flags, "--json")
        return done.code, json.loads(done.out)

    project.run_all()
    assert say("tag", "v1")[1]["tables"] > 5
    assert say("verify")[1]["findings"] == []

    for table, damage in DAMAGE.items():
        damage(Path(Url.parse(say("files", "--table", table)[1]["files"][0]["url"]).path))
    code, found = say("verify")
    assert (code, {row["table"] for row in found["findings"]}) == (3, set(DAMAGE))
    code, found = say("verify", "--repair", "--master", "local[2]")
    told = {row["table"]: row["repaired"]["outcome"] for row in found["findings"]}
    assert (code, told) == (0, dict.fromkeys(DAMAGE, "rebuilt"))
    assert say("verify")[1]["findings"] == []
    assert project.contents() == undisturbed.contents()

    text = "Words that no other document has, and that come in later than the tag."
    (project.inputs / "later.jsonl").write_text(json.dumps({"id": "later", "text": text}))
    project.run_all()
    assert project.contents() != undisturbed.contents()
    assert say("rollback", "--to", "v1")[0] == 0
    assert say("verify")[1]["findings"] == []
    assert project.contents() == undisturbed.contents()
