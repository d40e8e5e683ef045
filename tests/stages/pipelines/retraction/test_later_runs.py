"""Runs after a retraction do not bring its documents back."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from strata.errors import ConflictError, IdentityError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.storage.tables.catalog import look_at
from strata.storage.tables.rebuild import plan_rebuild, rebuild_catalog
from tests.support.corpora.complete import run_all, write_records
from tests.support.corpora.retracted import Project, assert_same, by_ids, request, words
from tests.support.rows import rows_of


def test_retract_then_run_skips_everything(project):
    context = project.built()
    run_retract(context, by_ids("f4-0", "f0-0"))
    again = run_all(project.context())
    assert {report.status for report in again} == {StageStatus.SKIPPED}


def test_retract_before_dedup_ran(project):
    write_records(project.folder / "in", project.files)
    context = project.context()
    run_shard(context)
    run_retract(context, by_ids("f4-0"))
    run_all(context)
    assert_same(context, project.scratch(["f4-0"]))


def test_rebuild_retracted_documents_do_not_come_back(project):
    context = project.built()
    run_retract(context, request(("id", "f4-0"), ("url", "https://example.org/8")))
    lines = (project.folder / "in/a/part.jsonl").read_bytes() + b'{"id": "new", "text": "new"}\n'
    (project.folder / "in/a/part.jsonl").write_bytes(lines)

    rebuilt = project.context(shard={"changed_inputs": "rebuild", "max_reject_ratio": 0})
    report = run_all(rebuilt)[0]

    left = {row["id"] for row in rows_of(context, "documents")}
    assert left == {*project.ids, "new"} - {"f4-0", "f8-0", "f8-1", "f8-2", "f8-3"}
    assert report.rejected == {"retracted": 5}
    assert [row["excerpt"] for row in rows_of(context, "rejects")] == [""] * 5
    assert run_all(project.context())[0].status is StageStatus.SKIPPED


def test_lost_catalog_is_made_anew_and_retracted_documents_do_not_come_back(project):
    context = project.built()
    run_retract(context, by_ids("f4-0"))
    tables = context.corpus.existing_tables()
    context.corpus.close()
    (Path(context.settings.warehouse) / "catalog.db").unlink()
    with pytest.raises(IdentityError, match="the catalog does not know"):
        project.context()

    with closing(look_at(context.settings)) as look:
        rebuild_catalog(look, plan_rebuild(look)).close()

    context = project.context()
    assert context.corpus.existing_tables() == tables
    assert {report.status for report in run_all(context)} == {StageStatus.SKIPPED}
    assert "f4-0" not in {row["id"] for row in rows_of(context, "documents")}
    lines = (project.folder / "in/a/part.jsonl").read_bytes() + b'{"id": "new", "text": "new"}\n'
    (project.folder / "in/a/part.jsonl").write_bytes(lines)
    rebuilt = project.context(shard={"changed_inputs": "rebuild", "max_reject_ratio": 0})
    assert run_all(rebuilt)[0].rejected == {"retracted": 1}


def test_new_inputs_after_a_retraction_are_appended_without_its_documents(project):
    context = project.built()
    selectors = [("id", "f4-0"), ("url", "https://example.org/8"), ("source", "b")]
    run_retract(context, request(*selectors))
    before = len(rows_of(context, "documents"))
    by_id = {r["id"]: r for part in project.files.values() for r in part}
    mirrored = [
        by_id["f4-0"],
        by_id["f4-0"] | {"id": "another id"},
        by_id["f4-0"] | {"text": "another text"},
        {"id": "elsewhere", "text": "of that address", "url": "https://example.org/8"},
        by_id["f0-0"],
    ]
    write_records(project.folder / "in", {"a/zz.jsonl": mirrored, "b/zz.jsonl": mirrored})

    report = run_all(project.context())[0]

    assert report.details.mode == "append"
    assert report.rows_out == 3
    assert report.rejected == {"retracted": 7}
    assert len(rows_of(context, "documents")) == before + 3
    assert "another id" in {row["id"] for row in rows_of(context, "documents")}


def test_source_retracted_its_files_may_go(project):
    project.built()
    run_retract(project.context(), request(("source", "b")))
    (project.folder / "in/b/part.jsonl").unlink()
    reports = run_all(project.context(names=("a", "c")))
    assert {report.status for report in reports} == {StageStatus.SKIPPED}


def test_retract_first_copy_of_a_passage_the_next_run_keeps_the_second(tmp_path):
    line = "the very same line of ten words is in both"
    rng = np.random.default_rng(3)
    texts = [" ".join(words(rng)) + f"\n{line}\n" for _ in range(3)]
    records = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    project = Project(tmp_path, {"a/part.jsonl": records})
    dedup = {"passages": "line"}
    context = project.built(names=("a",), dedup=dedup)
    assert [line in row["text"] for row in rows_of(context, "clean")] == [True, False, False]

    run_retract(context, by_ids("d0"))

    assert rows_of(context, "cuts") == []
    assert len(rows_of(context, "clean")) == 2
    with pytest.raises(ConflictError, match="`cuts` does not belong"):
        run_tokenize(project.context(names=("a",), dedup=dedup))
    run_all(project.context(names=("a",), dedup=dedup))
    assert [line in row["text"] for row in rows_of(context, "clean")] == [True, False]
