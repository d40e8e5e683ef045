"""A table and a stage that only this test declares: everything knows them by their declarations."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from strata.jobs.cli import main
from strata.jobs.planning.dry_run import plan_facts
from strata.jobs.runner.launch import stages_of
from strata.jobs.runner.options import RunOptions
from strata.jobs.runner.run import run_stages
from strata.keys import stage_key
from strata.pipelines.execution.stage import Counters, StageReport, StageStatus
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.export.rows import export_batches, export_schema
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance.rollback import plan_rollback, roll_back
from strata.pipelines.repair.run import RepairMode, RepairStatus, repair
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import Settings
from strata.stages import STAGES, Stage
from strata.storage.cleanup.expiry import expire
from strata.storage.integrity.verify import verify
from strata.storage.layout.schemas import DOCUMENTS, FIELD_ID, SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.tags import tag_corpus
from strata.tables import DECLARED, RepairRule, Table
from tests.support.corpora.complete import run_all, write_records
from tests.support.rows import rows_of
from tests.support.sequential import FakeSession, sequential_context

RECORDS = [{"id": f"d-{n}", "text": f"text {n} with " + "words " * n} for n in range(12)]
LENGTHS = pa.schema(
    [
        DOCUMENTS.field("doc_id"),
        pa.field("n_chars", pa.int64(), nullable=False, metadata={FIELD_ID: b"2"}),
    ]
)
TABLE = Table(
    "lengths",
    "measure",
    made_from=("documents",),
    repair=RepairRule.CLEAR,
    is_exported=True,
)


def run_measure(context):
    """The stage: the length of every text."""
    guard = RetractionGuard.begin(context.corpus)
    documents, lengths = context.corpus.table("documents"), context.corpus.table("lengths")
    report = StageReport("measure", stage_key("measure", 1, [documents.content_key or ""], {}))
    if lengths.content_key == report.key:
        report.status = StageStatus.SKIPPED
        return report
    report.rows_in = sum(file.rows for file in documents.files())
    columns = ["doc_id", "text"]
    batches = (
        pa.record_batch([batch["doc_id"], pc.utf8_length(batch["text"]).cast(pa.int64())], LENGTHS)
        for file in documents.files()
        for batch in read_batches(context.store, file.location, columns, None, 10**6)
    )
    written = TableTarget.of(context, "lengths").write(batches, "measure")
    report.rows_out = sum(file.rows for file in written.files)
    report.counters.add(Counters(files_written=len(written.files)))
    report.check_balance()
    guard.check(["lengths"])
    publish(
        lengths,
        written.files,
        mode=PublishMode.OVERWRITE,
        content_key=report.key,
        run_id=context.run_id,
    )
    return report


@pytest.fixture(autouse=True)
def _declared(monkeypatch):
    monkeypatch.setitem(SCHEMAS, "lengths", LENGTHS)
    monkeypatch.setitem(DECLARED, "lengths", TABLE)
    function = f"{__name__}:run_measure"
    stage = Stage("measure", "measure", function, reads=("documents",), settings=())
    monkeypatch.setitem(STAGES, "measure", stage)


@pytest.fixture
def settings_file(tmp_path):
    write_records(tmp_path / "in", {"a.jsonl": RECORDS})
    file = tmp_path / "web.toml"
    file.write_text(
        f'corpus = "web"\nwarehouse = "{tmp_path / "wh"}"\n'
        f'[[inputs]]\npath = "{tmp_path / "in"}"\n'
        "[tokenize.train]\nvocab_size = 300\n"
    )
    return file


@pytest.fixture
def context(settings_file, tmp_path):
    settings = Settings(
        corpus="web",
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(tmp_path / "in")}],
        tokenize={"train": {"vocab_size": 300}},
    )
    return sequential_context(settings, "first")


@pytest.fixture
def measured(context):
    run_all(context)
    run_measure(context)
    return context


def lengths(context):
    return {row["doc_id"]: row["n_chars"] for row in rows_of(context, "lengths")}


def texts(context):
    return {row["doc_id"]: len(row["text"]) for row in rows_of(context, "documents")}


def test_declared_stage_writes_its_table_once(measured):
    assert STAGES["measure"].writes == ("lengths",)
    assert lengths(measured) == texts(measured)
    assert run_measure(measured).status is StageStatus.SKIPPED


def test_declared_stage_is_part_of_a_run_and_of_its_report(context, capsys, settings_file):
    report = run_stages(
        context.settings,
        stages_of("run"),
        RunOptions("run", "whole", None),
        FakeSession(),
    )
    assert [stage.stage for stage in report.stages][-1] == "measure"
    assert main(["report", str(settings_file)]) == 0
    out = capsys.readouterr().out
    assert "measure" in out
    assert "lengths" in out


def test_declared_stage_is_part_of_a_plan(context):
    plan = plan_facts(context.settings)
    assert plan["stages"]["measure"] == "would run unless up to date"
    assert plan["tables"]["lengths"]["rows now"] == 0


def test_declared_table_is_exported(measured, settings_file, tmp_path):
    assert export_schema("lengths") == LENGTHS
    exported = pa.Table.from_batches(export_batches(measured.corpus, measured.store, "lengths"))
    assert dict(zip(*exported.to_pydict().values(), strict=True)) == texts(measured)
    target = tmp_path / "out"
    command = ["export", "lengths", str(settings_file), "--format", "jsonl", "--to", str(target)]
    assert main(command) == 0
    lines = (target / "lengths.jsonl").read_text().splitlines()
    assert {row["doc_id"]: row["n_chars"] for row in map(json.loads, lines)} == texts(measured)


def test_declared_table_returns_to_a_tag(measured, tmp_path):
    tag_corpus(measured.corpus, "v1")
    before = lengths(measured)
    write_records(tmp_path / "in", {"b.jsonl": [{"id": "new", "text": "one more text"}]})
    run_all(measured)
    run_measure(measured)
    assert len(lengths(measured)) == len(before) + 1
    steps = plan_rollback(measured.corpus, "v1")
    assert steps[0].table == "lengths"
    roll_back(measured.corpus, steps, "back")
    assert lengths(measured) == before == texts(measured)


def test_declared_table_loses_what_is_retracted(measured):
    request = RetractRequest((Selector(SelectorKind.ID, "d-3"),))
    run_retract(measured, request)
    assert len(texts(measured)) == len(RECORDS) - 1
    assert lengths(measured) == texts(measured)


def test_declared_table_is_verified_and_repaired(measured, settings_file):
    file = measured.corpus.table("lengths").files()[0]
    path = Path(str(file.location).removeprefix("file://"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))
    findings = verify(measured.corpus, measured.store).findings
    assert [check.table for check in findings] == ["lengths"]
    results = repair(measured, findings, RepairMode.PUBLISH)
    assert [each.outcome for each in results] == [RepairStatus.CLEARED]
    run_measure(measured)
    assert lengths(measured) == texts(measured)


def test_declared_table_has_its_snapshots_expired(measured, tmp_path):
    write_records(tmp_path / "in", {"b.jsonl": [{"id": "new", "text": "one more text"}]})
    run_shard(measured)
    run_measure(measured)
    assert len(measured.corpus.table("lengths").snapshots()) == 2
    expire(measured.corpus.table("lengths"), datetime.now(UTC))
    assert len(measured.corpus.table("lengths").snapshots()) == 1
