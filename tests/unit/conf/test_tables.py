from pathlib import Path

import pytest

from strata.pipelines.ingest.task import WRITTEN
from strata.pipelines.lineage.staleness import TABLES_OF_CUTS
from strata.pipelines.stages.shard import PUBLISHED
from strata.settings import Settings
from strata.stages import RUN, STAGE_COMMANDS, STAGES, stages_of_command
from strata.storage.layout.schemas import SCHEMAS
from strata.storage_settings import CompressSettings
from strata.tables import DECLARED, RepairRule, RetractionRule, published_with, table_names

ROOT = Path(__file__).parents[3]


def test_tables_each_has_a_schema():
    assert set(DECLARED) == set(SCHEMAS)
    assert all(name == table.name for name, table in DECLARED.items())


@pytest.mark.parametrize("name", DECLARED)
def test_tables_what_one_is_made_from_comes_before_it(name):
    before = table_names()[: table_names().index(name)]
    assert set(DECLARED[name].made_from) <= set(before)


@pytest.mark.parametrize("name", DECLARED)
def test_tables_columns_that_are_named_exist(name):
    table, columns = DECLARED[name], SCHEMAS[name].names
    assert {*table.sorted_by, *table.names_documents} <= set(columns)
    assert table.retraction is RetractionRule.KEEP or table.names_documents
    assert all(DECLARED[twin].has_row_a_document for twin in table.twins)
    assert not table.has_row_a_document or columns[0] == "doc_id"


def test_tables_rows_of_documents_are_rebuilt_from_something():
    rules = {table.repair for table in DECLARED.values() if table.has_row_a_document}
    assert rules.isdisjoint({RepairRule.COPIES, RepairRule.CLEAR})


def test_tables_of_a_group_are_published_together():
    assert set(published_with("documents")) == set(PUBLISHED) == {*WRITTEN, "inputs"}
    assert published_with("tokens") == ("clean", "tokens")
    assert published_with("edges") == ("edges",)


def test_stages_read_and_write_tables_that_are_declared():
    written = [name for stage in STAGES.values() for name in stage.writes]
    assert sorted(written) == sorted(set(table_names()) - {"retractions"})
    assert {name for stage in STAGES.values() for name in stage.reads} <= set(table_names())


def test_stages_every_setting_that_decides_a_key_exists():
    tree = Settings.model_json_schema()
    for stage in STAGES.values():
        for setting in stage.settings:
            node = tree
            for part in setting.split("."):
                reference = node.get("$ref") or node.get("allOf", [{}])[0].get("$ref")
                if reference:
                    node = tree["$defs"][reference.rpartition("/")[2]]
                assert part in node["properties"], (stage.name, setting)
                node = node["properties"][part]


def test_stages_each_belongs_to_a_command_with_a_script():
    assert {stage.command for stage in STAGES.values()} == set(STAGE_COMMANDS) - {RUN}
    assert stages_of_command(RUN) == tuple(STAGES.values())
    for command, (script, _) in STAGE_COMMANDS.items():
        assert f'job_main("{command}", argv)' in (ROOT / "jobs" / f"{script}.py").read_text()


def test_tables_that_cuts_are_checked_against_are_what_they_are_made_from():
    assert {table for _, table in TABLES_OF_CUTS} == set(DECLARED["cuts"].made_from)


def test_tables_that_are_compacted_by_default_are_what_compress_reads():
    assert CompressSettings().tables == STAGES["compress"].reads
