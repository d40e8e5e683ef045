"""Reports are stored: what earlier versions wrote, and what later ones may write, is read."""

import json
from pathlib import Path

import msgspec
import pytest

from strata.jobs.report.page import render_page
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import (
    DETAILS,
    DedupDetails,
    MoveDetails,
    ShardDetails,
    TokenizeDetails,
)
from strata.pipelines.execution.stage import Counters, StageReport
from strata.storage.transfer.metering import FileReads, IoMeter

# Written before details had types and counters a meter, by stages of every kind.
STORED = Path(__file__).with_name("every_stage.json").read_bytes().strip()


def changed(**facts):
    """The stored report with another first stage."""
    report = json.loads(STORED)
    report["stages"][0] |= facts
    return RunReport.from_json(json.dumps(report).encode())


def test_stored_report_is_written_again_byte_by_byte():
    assert RunReport.from_json(STORED).to_json() == STORED


def test_stored_report_every_detail_is_declared():
    report = RunReport.from_json(STORED)
    assert {stage.stage for stage in report.stages} == DETAILS.keys()
    assert [stage.unknown for stage in report.stages] == [{}] * len(report.stages)


@pytest.mark.parametrize("kind", DETAILS.values())
def test_stored_report_has_every_detail_that_is_declared(kind):
    declared = {each.encode_name for each in msgspec.structs.fields(kind)}
    stages = [s for s in json.loads(STORED)["stages"] if DETAILS[s["stage"]] is kind]
    assert {name for stage in stages for name in stage["details"]} == declared


def test_stored_report_finds_stages_and_details():
    report = RunReport.from_json(STORED)
    assert report.stage("tokenize").details is report.details_of(TokenizeDetails)
    assert report.details_of(DedupDetails).audit.precision.value == 1.0
    assert report.details_of(MoveDetails).moves[0].target == "cold"
    empty = RunReport("r", "run", "c", "")
    assert (empty.stage("shard"), empty.details_of(ShardDetails)) == (None, None)


def test_report_of_a_newer_version_keeps_details_that_are_not_known():
    report = changed(details={"mode": "append", "weather": {"rain": 3}})
    assert report.details_of(ShardDetails) == ShardDetails(mode="append")
    assert json.loads(report.to_json())["stages"][0]["details"]["weather"] == {"rain": 3}
    assert "weather · rain" in render_page(report, [])


def test_report_of_an_older_version_may_lack_details_or_write_them_otherwise():
    report = changed(details={"files_skipped": ["a", "b"]}, counters={"bytes_read": 3})
    assert report.details_of(ShardDetails) == ShardDetails()
    assert report.stages[0].unknown == {"files_skipped": ["a", "b"]}
    assert report.stages[0].counters == Counters(IoMeter(bytes_read=3))


def test_report_of_a_stage_that_is_not_known_is_read():
    report = changed(stage="polish", details={"shine": 1})
    assert report.stages[0].details_by_name() == {"shine": 1}


def test_report_has_the_counts_of_files_but_not_the_files():
    io = IoMeter(bytes_read=7, files={"a.parquet": FileReads(1, 7)})
    stage = StageReport("dedup", "k", counters=Counters(io, tokens=2))
    counters = json.loads(RunReport("r", "run", "c", "", stages=[stage]).to_json())
    counters = counters["stages"][0]["counters"]
    assert list(counters) == list(json.loads(STORED)["stages"][0]["counters"])
    assert (counters["bytes_read"], counters["tokens"]) == (7, 2)
