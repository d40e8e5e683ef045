"""What is left of a retracted text: in expired files, under tags and in stored reports."""

import json

import pyarrow.parquet as pq

from strata.pipelines.execution.stage import StageStatus, reports_folder
from strata.pipelines.retraction.request import ExpiryPolicy
from strata.pipelines.retraction.run import run_retract
from tests.support.corpora.complete import run_all
from tests.support.corpora.retracted import assert_same, by_ids
from tests.support.rows import rows_of


def texts_on_disk(folder):
    """All texts in any Parquet file, whether a table refers to it or not."""
    found = set()
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        if "text" in table.schema.names:
            found |= set(table["text"].to_pylist())
    return found


def test_expire_now_no_file_holds_the_text_any_more(project):
    context = project.built()
    gone = next(r for part in project.files.values() for r in part if r["id"] == "f4-0")
    receipt = run_retract(context, by_ids("f4-0")).details.receipt
    assert gone["text"] in texts_on_disk(project.folder / "wh")
    assert receipt.held.snapshots["documents"] > 0

    report = run_retract(project.context(), by_ids("f4-0", expiry=ExpiryPolicy.NOW))

    assert report.details.deleted.files > 0
    assert gone["text"] not in texts_on_disk(project.folder / "wh")
    assert_same(context, project.scratch(["f4-0"]))
    assert {r.status for r in run_all(project.context())} == {StageStatus.SKIPPED}


def test_expire_now_with_the_retraction_tells_what_tags_still_hold(project):
    context = project.built()
    table = context.corpus.table("documents").iceberg()
    snapshot = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(snapshot, "v1").commit()
    receipt = run_retract(context, by_ids("f4-0", expiry=ExpiryPolicy.NOW)).details.receipt
    assert receipt.files_deleted > 0
    assert receipt.held.snapshots == {"documents": 1}
    assert receipt.held.tagged == {"documents": ["v1"]}


def test_stored_reports_do_not_quote_what_was_retracted(project):
    context = project.built()
    numbers = {row["id"]: row["doc_id"] for row in rows_of(context, "documents")}
    quoted = [{"doc_id": numbers[name], "sample": f"line of {name}"} for name in ("f4-0", "f4-1")]
    folder = reports_folder(context.settings)
    told = {"stages": [{"details": {"duplicates": {"largest": quoted}}, "doc_id": "x"}]}
    context.store.write_bytes(folder / "old.json", json.dumps(told).encode())
    context.store.write_bytes(folder / "other.json", b'{"stages": [], "sample": "kept"}')
    context.store.write_bytes(folder / "half.json", b'{"stages": [')
    before = context.store.info(folder / "other.json").identity

    receipt = run_retract(context, by_ids("f4-0")).details.receipt

    assert receipt.reports_blanked == 1
    left = json.loads(context.store.read_bytes(folder / "old.json"))
    samples = [each["sample"] for each in left["stages"][0]["details"]["duplicates"]["largest"]]
    assert samples == ["", "line of f4-1"]
    assert context.store.info(folder / "other.json").identity == before
