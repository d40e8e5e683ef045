"""`strata storage relocate`: a corpus that was moved, and a copy beside its original."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes.commands import Project

# Nothing is left to do, so Spark does not start.
WITHOUT_JAVA = {"JAVA_HOME": "/nowhere", "PATH": "/nowhere"}
TEXT = "Words that no other document has, and that come in later than the copy was made."


def contents(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    """Time and content of every file below a folder."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def is_up_to_date(project: Project, file: Path) -> bool:
    """Whether `strata run` has nothing to do."""
    done = project.run("run", str(file), "--json", env=WITHOUT_JAVA)
    return done.code == 0 and {each["status"] for each in json.loads(done.out)["stages"]} == {
        "skipped"
    }


def test_moved_corpus_goes_on_elsewhere_and_a_copy_leaves_the_original_alone(
    project: Project, undisturbed: Project
) -> None:
    project.run_all()
    assert project.run("storage", "tag", str(project.file), "v1").code == 0
    folder = project.folder
    for name in ("wh", "cold"):
        (folder / name).rename(folder / f"{name}2")
    settings = project.file.read_text()
    for name in ("wh", "cold"):
        settings = settings.replace(f"{folder}/{name}", f"{folder}/{name}2")
    project.file.write_text(settings)

    refused = project.run("run", str(project.file), "--json", env=WITHOUT_JAVA)
    assert (refused.code, "strata storage relocate" in refused.failure["hint"]) == (4, True)
    doctor = project.run("doctor", str(project.file))
    assert doctor.code != 0
    assert "strata storage relocate" in doctor.out
    before = contents(folder / "wh2")
    planned = project.run("storage", "relocate", str(project.file), "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert contents(folder / "wh2") == before
    moved = project.run("storage", "relocate", str(project.file), "--json")
    assert moved.code == 0, moved.err
    assert json.loads(moved.out)["moved"] == json.loads(planned.out)["moved"]
    assert {(each["from"], each["to"]) for each in json.loads(moved.out)["moved"]} == {
        (f"file://{folder}/{name}", f"file://{folder}/{name}2") for name in ("wh", "cold")
    }
    assert is_up_to_date(project, project.file)
    collected = project.run("storage", "gc", str(project.file), "--older-than", "0", "--json")
    assert all("/metadata/" in each["url"] for each in json.loads(collected.out)["deleted"])
    assert project.run("storage", "verify", str(project.file), "-q").code == 0
    assert project.contents() == undisturbed.contents()

    for name in ("wh2", "cold2"):
        shutil.copytree(folder / name, folder / "copy" / name)
    copy = folder / "copy.toml"
    copy.write_text(
        settings.replace(f"{folder}/wh2", f"{folder}/copy/wh2").replace(
            f"{folder}/cold2", f"{folder}/copy/cold2"
        )
    )
    original = {name: contents(folder / name) for name in ("wh2", "cold2")}
    assert project.run("run", str(copy), env=WITHOUT_JAVA).code == 4
    kept = project.run("storage", "relocate", str(copy))
    assert (kept.code, "--as-copy" in kept.failure["hint"]) == (4, True)
    made = project.run("storage", "relocate", str(copy), "--as-copy", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["id"] != json.loads(moved.out)["id"]
    assert is_up_to_date(project, copy)
    (project.inputs / "later.jsonl").write_text(json.dumps({"id": "later", "text": TEXT}))
    grown = project.run("run", str(copy), "--master", "local[2]", "--json")
    assert grown.code == 0, grown.err
    assert project.run("storage", "gc", str(copy), "--older-than", "0").code == 0
    assert {name: contents(folder / name) for name in original} == original
    (project.inputs / "later.jsonl").unlink()

    assert is_up_to_date(project, project.file)
    collected = project.run("storage", "gc", str(project.file), "--older-than", "0")
    assert collected.code == 0, collected.err
    for file in (project.file, copy):
        assert project.run("storage", "verify", str(file), "-q").code == 0
