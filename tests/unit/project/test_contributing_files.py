"""The files that a contributor's tools read: hooks of pre-commit, forms of issues."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOOKS = [
    (repository["repo"], hook)
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    for hook in repository["hooks"]
]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def exists(word: str) -> bool:
    """Whether a word of a hook's entry that is a path names something of the checkout."""
    if word.startswith(".venv/bin/"):
        return (Path(sys.executable).parent / Path(word).name).exists()
    return (ROOT / word).exists()


@pytest.mark.parametrize(("repository", "hook"), HOOKS, ids=[hook["id"] for _, hook in HOOKS])
def test_hook_runs_a_command_of_the_checkout_and_needs_no_network(repository, hook):
    command, *arguments = shlex.split(hook["entry"])

    assert repository == "local"
    assert hook["language"] == "unsupported"
    if command == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(f"^{target}:", makefile, re.MULTILINE) for target in arguments)
    else:
        assert [word for word in (command, *arguments) if "/" in word and not exists(word)] == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_form_asks_for_version_command_and_report(form):
    content = yaml.safe_load(form.read_text("utf-8"))
    fields = [field for field in content["body"] if field["type"] != "markdown"]

    assert {"name", "description"} <= content.keys()
    assert {"version", "command", "report"} <= {field["id"] for field in fields}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_there_are_forms_for_bugs_and_features():
    assert {form.stem for form in FORMS} == {"bug", "feature"}
