"""`strata storage relocate`, in this process."""

import json

import pytest

from strata.jobs.cli import main
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from tests.support.processes.drivers import TABLE, write

SETTINGS = """
corpus = "web"
warehouse = "{folder}/wh"
[[inputs]]
path = "nothing"
[tiers.cold]
url = "{folder}/cold"
"""


@pytest.fixture
def moved(settings, tmp_path):
    """The settings file of a corpus whose folder was renamed, and its former and present folder."""
    old, new = tmp_path / "old", tmp_path / "new"
    update = {"warehouse": str(old / "wh"), "tiers": {"cold": {"url": str(old / "cold")}}}
    before = settings.model_validate(settings.model_dump() | update)
    with open_to_write(before) as corpus:
        files = write(corpus, before, "cold", [1, 2, 3])
        publish(corpus.table(TABLE), files, mode=PublishMode.APPEND, content_key="k", run_id="r")
    old.rename(new)
    file = tmp_path / "web.toml"
    file.write_text(SETTINGS.format(folder=new))
    return file, old, new


@pytest.fixture
def say(moved, capsys):
    """Run the command with flags and return exit code, JSON and the last line of stderr."""

    def say(*flags, action="relocate"):
        code = main(["storage", action, str(moved[0]), "--json", *flags])
        printed = capsys.readouterr()
        failure = json.loads(printed.err.splitlines()[-1]) if code else {}
        return code, json.loads(printed.out) if printed.out else {}, failure

    return say


def test_relocate_tells_what_it_would_rewrite_then_rewrites_it(moved, say):
    _, old, new = moved
    code, planned, _ = say("--dry-run")
    assert (code, planned["dry_run"], planned["changed"]) == (0, True, False)
    assert [(each["from"], each["to"], each["files"]) for each in planned["moved"]] == [
        (f"file://{old}/wh", f"file://{new}/wh", 0),
        (f"file://{old}/cold", f"file://{new}/cold", 1),
    ]
    assert say(action="files")[0] == 4
    code, done, _ = say()
    assert (code, done["changed"], done["moved"]) == (0, True, planned["moved"])
    assert done["metadata_files"] == planned["metadata_files"] > 2
    assert [(each["table"], each["metadata"]) for each in done["tables"]] == [
        (each["table"], each["metadata"]) for each in planned["tables"]
    ]
    assert say(action="files")[1]["rows"] == 3
    code, again, _ = say()
    assert (code, again["changed"], again["moved"]) == (0, False, [])


def test_relocate_for_people_says_it_in_a_sentence(moved, capsys):
    assert main(["storage", "relocate", str(moved[0])]) == 0
    assert "metadata files rewritten: " in capsys.readouterr().out
    assert main(["storage", "relocate", str(moved[0])]) == 0
    assert "nothing to relocate" in capsys.readouterr().out


def test_relocate_asks_where_files_of_no_tier_are(moved, say):
    _, old, new = moved
    (new / "cold").rename(new / "elsewhere")
    code, _, failure = say()
    assert (code, "--map OLD=NEW" in failure["hint"]) == (4, True)
    assert str(old / "cold") in failure["reason"]
    code, done, _ = say("--map", f"{old}/cold={new}/elsewhere")
    assert (code, done["moved"][-1]["to"]) == (0, f"file://{new}/elsewhere")


@pytest.mark.parametrize("given", ["nonsense", "=x", "x=", "file:///old/wh="])
def test_relocate_map_of_other_than_two_locations_is_refused(say, given):
    code, _, failure = say("--map", given)
    assert (code, given in failure["reason"], "OLD=NEW" in failure["hint"]) == (2, True, True)


def test_relocate_where_the_catalog_knows_nothing_says_how_to_make_it_anew(moved, say):
    (moved[2] / "wh/catalog.db").unlink()
    code, _, failure = say()
    assert (code, "rebuild-catalog" in failure["hint"]) == (4, True)
    assert not (moved[2] / "wh/catalog.db").exists()


def test_doctor_says_what_is_wrong_with_a_renamed_warehouse(moved, capsys):
    assert main(["doctor", str(moved[0])]) != 0
    assert "strata storage relocate" in capsys.readouterr().out
