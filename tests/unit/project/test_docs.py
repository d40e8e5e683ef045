import importlib.util
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from strata.jobs import cli
from strata.pipelines.readers.rejects import RejectReason
from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.tables import table_names
from strata.version import VERSION

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "user-guide.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
SUBCOMMANDS = re.compile(r"^  (?:COMMAND|ACTION)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
RELEASE = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")
CHANGES = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside a type, such as that of ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)


def all_models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        for inner in models_of(field.annotation):
            found |= all_models(inner)
    return found


def script() -> ModuleType:
    file = ROOT / "scripts" / "write_settings_docs.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    return capsys.readouterr().out


def commands(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Every command of the command line, such as ``strata storage gc``."""
    below = SUBCOMMANDS.split(help_of(words, capsys))
    if len(below) == 1:
        yield " ".join(("strata", *words))
    for name in re.findall(r"^    ([a-z]+)", below[-1], re.MULTILINE) if len(below) > 1 else ():
        yield from commands((*words, name), capsys)


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as web pages of repositories make them."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page)]
    return {heading.replace(" ", "-") for heading in plain}


def test_guide_settings_tables_are_up_to_date():
    guide = GUIDE.read_text("utf-8")

    assert script().with_tables(guide) == guide, "run scripts/write_settings_docs.py"


@pytest.mark.parametrize("model", sorted(all_models(Settings), key=lambda m: m.__name__))
def test_guide_every_settings_field_with_description_in_tables(model):
    tables = script().settings_tables()

    for name, field in model.model_fields.items():
        assert f"| `{name}` |" in tables
        assert " ".join((field.description or "").split()) in tables


def test_guide_every_command_and_flag_is_described(capsys):
    guide = GUIDE.read_text("utf-8")
    found = list(commands((), capsys))

    assert {"strata run", "strata storage gc"} <= set(found)
    for command in found:
        assert f"`{command}" in guide, command
        words = tuple(command.split()[1:])
        for flag in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_of(words, capsys), re.MULTILINE):
            assert f"`{flag}" in guide, f"{command} {flag}"


def test_guide_every_table_with_its_columns_is_described():
    guide = GUIDE.read_text("utf-8")

    for table in table_names():
        section = guide.partition(f"### `{table}`")[2].partition("\n#")[0]
        for column in SCHEMAS[table].names if table != "clean" else ():
            assert f"`{column}`" in section, f"{table}.{column}"


@pytest.mark.parametrize("reason", RejectReason)
def test_guide_every_reject_reason_is_explained(reason):
    assert f"| `{reason}` |" in GUIDE.read_text("utf-8")


def test_changelog_unreleased_on_top_then_releases_down_from_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased, *sections = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    releases = [RELEASE.fullmatch(section) for section in sections]

    assert unreleased == "[Unreleased]"
    assert all(releases), sections
    versions = [tuple(map(int, release[1].split("."))) for release in releases if release]
    assert versions == sorted(set(versions), reverse=True)
    assert ".".join(map(str, versions[0])) == VERSION
    dates = [date.fromisoformat(release[2]) for release in releases if release]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.+)$", changelog, re.MULTILINE)) <= set(CHANGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_every_relative_link_resolves(page):
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text("utf-8")), target
