"""Plans: what would run, and what would stop it; without a JVM."""

import json

import pytest

from strata.errors import InputMissingError, MachineError, SettingsError
from strata.jobs.cli import main
from strata.jobs.planning.dry_run import plan_facts, show_plan
from strata.jobs.runner.options import OutputForm, RunOptions
from strata.jobs.runner.run import run_stages
from strata.pipelines.stages.preflight import check_room, room_for
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.complete import run_all, write_records
from tests.support.corpora.damaged import break_file, records, small_context, small_settings
from tests.support.sequential import FakeSession, sequential_context

CURRENT = {"shard", "dedup", "tokenize"}


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def with_changes(settings, **changes):
    tree = settings.model_dump(exclude_unset=True)
    for section, values in changes.items():
        old = tree.get(section, {})
        tree[section] = old | values if isinstance(values, dict) else values
    return Settings.model_validate(tree)


def up_to_date(settings):
    stages = plan_facts(settings)["stages"]
    return {name for name in CURRENT if stages[name] == "up to date"}


def test_plan_of_a_finished_run_says_so_of_every_stage(settings):
    small_context(settings)
    assert up_to_date(settings) == CURRENT


def test_plan_of_tokenize_follows_its_settings_and_its_documents(settings, tmp_path):
    small_context(settings)
    assert up_to_date(with_changes(settings, tokenize={"bos": True})) == {"shard", "dedup"}
    assert up_to_date(with_changes(settings, dedup={"threshold": 0.7})) == {"shard"}
    write_records(tmp_path / "in", {"z.jsonl": records(20, 5)})
    assert up_to_date(settings) == set()
    run_shard(sequential_context(settings, "second"))
    assert up_to_date(settings) == {"shard"}
    run_all(sequential_context(settings, "third"))
    assert up_to_date(settings) == CURRENT


def test_plan_names_files_to_rewrite_in_words(settings, capsys):
    run_all(sequential_context(settings, "first"))
    show_plan(with_changes(settings, shard={"target_file_mb": 500}), output=OutputForm.TEXT)
    shown = capsys.readouterr().out
    assert "{" not in shown
    facts = plan_facts(settings)
    assert facts["problems"] == {}
    assert facts["room"]["tier warehouse"]["bytes free"] > 0


PROBLEMS = {
    "tokenizer": ({"tokenize": {"tokenizer": "gone.json", "train": None}}, InputMissingError),
    "dedup.decontaminate": ({"dedup": {"decontaminate": ("no_such_corpus",)}}, SettingsError),
    "dedup.against": ({"dedup": {"against": ("no_such_corpus",)}}, SettingsError),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_is_told_by_the_plan_and_stops_a_run_before_it_reads(settings, name, capsys):
    change, kind = PROBLEMS[name]
    tree = settings.model_dump(exclude_unset=True) | change
    tree["tokenize"] = {k: v for k, v in tree.get("tokenize", {}).items() if v is not None}
    broken = Settings.model_validate(tree)
    with pytest.raises(kind) as told:
        show_plan(broken, output=OutputForm.JSON)
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == {name: str(told.value)}
    assert facts["inputs"]["files to read"] > 0
    stages = [run_shard]
    with pytest.raises(kind):
        run_stages(broken, stages, RunOptions("run", "r", None), FakeSession())
    assert sequential_context(broken).corpus.existing_tables() == []
    # A stage that does not need it is not stopped by it.
    run_stages(broken, stages, RunOptions("shard", "r2", None), FakeSession())
    assert "documents" in sequential_context(broken).corpus.existing_tables()


def test_plan_has_all_problems_at_once_and_fails(settings, tmp_path, capsys):
    file = tmp_path / "web.toml"
    file.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n[[inputs]]\npath = "{tmp_path}/in"\n'
        '[dedup]\ndecontaminate = ["no_such_corpus"]\n'
        '[tokenize]\ntokenizer = "gone.json"\n'
    )
    write_records(tmp_path / "in", {"a.jsonl": records(5, 1)})
    assert main(["plan", str(file)]) == 3
    told = capsys.readouterr()
    assert "2 things are in the way" in told.err
    for words in ("gone.json", "no_such_corpus"):
        assert words in told.err
        assert words in told.out.replace("\n", "")


def test_room_that_cannot_suffice_is_refused_before_anything_is_read(settings):
    (room,) = room_for(settings, 1_000_000)
    assert room.least_bytes < 1_000_000 < room.usual_bytes
    check_room(settings, room.free_bytes)
    with pytest.raises(MachineError, match="GB free, and the new documents usually take"):
        check_room(settings, 60 * room.free_bytes)


@pytest.mark.parametrize("table", ["documents", "clusters", "tokens"])
def test_run_that_finds_a_file_gone_does_not_call_itself_up_to_date(settings, table):
    gone = break_file(small_context(settings), table, "missing")
    from strata.jobs.runner.launch import stages_of

    with pytest.raises(InputMissingError, match="storage verify") as told:
        run_stages(settings, stages_of("run"), RunOptions("run", "r", None), FakeSession())
    assert gone.url in told.value.reason
