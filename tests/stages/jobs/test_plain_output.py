"""Every command in a terminal or pipe that has ASCII or Latin-1 only, on names that need more."""

import io
import json
import sys

import pytest

from strata.jobs import cli, retract_documents, tune_dedup
from strata.jobs.manage_storage import ACTIONS
from strata.jobs.runner import launch
from strata.jobs.storage import stage_context
from tests.support.corpora.texts import library_texts, with_copies
from tests.support.sequential import FakeSession

FOLDER = "größe-中文"
SETTINGS = """
corpus = "web"
warehouse = "{0}/wh"
[[inputs]]
path = "{0}/in/*.jsonl"
source = "Bücher–書"
[tokenize]
train = {{ vocab_size = 300, sample_mb = 0.1 }}
[tiers.cold]
url = "{0}/cold"
[tables]
documents = "cold"
[cache]
folder = "{0}/cache"
"""
# In an order in which each has something to show; FILE and DIR stand for places.
COMMANDS = [
    "plan FILE",
    "run FILE --dry-run",
    "run FILE --run-id first",
    "shard FILE",
    "dedup FILE",
    "dedup FILE --tune",
    "tokenize FILE",
    "compress FILE",
    "config FILE",
    "export documents FILE --format jsonl --to DIR/out",
    "explain ключ-0 FILE",
    "report FILE",
    "report FILE --html DIR/page.html",
    "doctor FILE",
    "storage tiers FILE",
    "storage plan FILE",
    "storage files FILE",
    "storage cache FILE",
    "storage snapshots FILE",
    "storage verify FILE",
    "storage tag FILE mine",
    "storage rollback FILE --to mine --dry-run",
    "storage expire FILE --dry-run",
    "storage gc FILE --dry-run",
    "storage move FILE --dry-run",
    "storage rewrite FILE --table tokens",
    "storage adopt FILE",
    "storage rebuild-catalog FILE --dry-run",
    "storage relocate FILE --dry-run",
    "retract FILE --id ключ-1 --dry-run",
    "retract FILE --id ключ-1 --reason Ämter",
]
# Their JSON is another shape than one object, or they have none.
NO_JSON = ("config", "report FILE --html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / FOLDER
    (folder / "in").mkdir(parents=True)
    texts = with_copies(library_texts(12))
    lines = [json.dumps({"id": f"ключ-{n}", "text": text}) for n, text in enumerate(texts)]
    (folder / "in" / "тексты-€.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "corpus.toml").write_text(SETTINGS.format(folder))
    return folder


@pytest.fixture(autouse=True, scope="module")
def _no_jvm():
    with pytest.MonkeyPatch.context() as patch:
        for module in (launch, tune_dedup, retract_documents, stage_context):
            patch.setattr(module, "LazySession", FakeSession)
        yield


def ended(command, folder, encoding):
    """Exit code, stdout and stderr of a command whose streams have an encoding, strictly."""
    places = {"FILE": str(folder / "corpus.toml")}
    arguments = [places.get(word, word.replace("DIR", str(folder))) for word in command.split(" ")]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = cli.main(arguments)
        out.flush(), err.flush()
    return code, out.buffer.getvalue().decode(encoding), err.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("command", "encoding"),
    [*((each, "ascii") for each in COMMANDS), ("report FILE", "latin-1")],
)
def test_command_ends_well_in_a_plain_terminal(folder, command, encoding):
    code, out, err = ended(command, folder, encoding)

    assert code == 0, err
    assert out
    if not command.startswith(NO_JSON):
        code, out, err = ended(f"{command} --json", folder, encoding)
        assert code == 0, err
        assert json.loads(out)


def test_commands_are_all_of_them():
    tried = {words[1] if words[0] == "storage" else words[0] for words in map(str.split, COMMANDS)}
    (commands,) = (each for each in cli._parser()._actions if each.dest == "command")
    assert tried == {*commands.choices, *ACTIONS} - {"storage"}


def test_report_page_is_utf8_whatever_the_terminal(folder):
    assert ended("report FILE --html DIR/page.html", folder, "ascii")[0] == 0
    assert FOLDER in (folder / "page.html").read_text(encoding="utf-8")


def test_failure_escapes_the_names_in_its_message(folder):
    code, _, err = ended("explain слово FILE", folder, "ascii")
    assert code == 3
    assert "\\u0441" in err.splitlines()[0]
    assert "слово" in json.loads(err.splitlines()[-1])["reason"]
