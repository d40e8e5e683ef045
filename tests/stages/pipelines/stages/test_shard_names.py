"""A corpus of files whose names are not UTF-8 on disk: read, explained, retracted, repaired."""

import os

import pytest

from strata.pipelines.explain.document import trace_document
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.shard import plan_inputs, run_shard
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import Settings
from tests.support.corpora.damaged import break_file, checksum, findings, mend
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

PERCENT = "caf%E9"


@pytest.fixture
def context(tmp_path):
    for folder, name in ((b"caf\xe9", b"na\xefve.jsonl"), (b"plain", b"50%E9.jsonl")):
        path = os.path.join(os.fsencode(tmp_path), b"in", folder)
        os.makedirs(path)
        with open(os.path.join(path, name), "wb") as file:
            texts = library_texts(8)[: 5 if folder == b"plain" else 3]
            file.write(json_lines(texts) + b'{"id": "broken"}\n')
    settings = Settings(
        corpus="web",
        warehouse=str(tmp_path / "wh"),
        inputs=[{"path": str(tmp_path / "in/*/*.jsonl")}],
        shard={"max_reject_ratio": 1},
    )
    made = sequential_context(settings)
    run_shard(made)
    return made


def test_shard_of_a_name_that_is_not_utf8_keeps_a_uri_that_leads_back(context, tmp_path):
    uris = {row["uri"] for row in rows_of(context, "inputs")}
    assert uris == {
        f"file+percent://{tmp_path}/in/{PERCENT}/na%EFve.jsonl",
        f"file://{tmp_path}/in/plain/50%E9.jsonl",
    }
    assert {row["uri"] for row in rows_of(context, "rejects")} == uris
    assert {row["source"] for row in rows_of(context, "documents")} == {PERCENT, "plain"}
    assert plan_inputs(context, context.corpus).plan.done


@pytest.mark.parametrize(
    "asked",
    [
        "na%EFve.jsonl:0",
        os.fsdecode(b"na\xefve.jsonl:0"),
        "file+percent://{folder}/in/caf%E9/na%EFve.jsonl:0",
        os.fsdecode(b"{folder}/in/caf\xe9/na\xefve.jsonl:0"),
    ],
)
def test_explain_finds_a_document_by_a_name_that_is_not_utf8(context, tmp_path, asked):
    trace = trace_document(context, asked.format(folder=tmp_path))
    assert [document.uri for document in trace.documents] == [
        f"file+percent://{tmp_path}/in/{PERCENT}/na%EFve.jsonl"
    ]


@pytest.mark.parametrize("source", [PERCENT, os.fsdecode(b"caf\xe9")])
def test_retract_by_a_source_that_is_not_utf8(context, source):
    selectors = [Selector(SelectorKind.SOURCE, source)]
    request = RetractRequest.of(selectors, None, MissingPolicy.REFUSE, ExpiryPolicy.BY_POLICY)
    run_retract(context, request)
    assert {row["source"] for row in rows_of(context, "documents")} == {"plain"}


def test_repair_reads_an_input_whose_name_is_not_utf8(context):
    before = checksum(context, "documents")
    for table in ("documents", "fingerprints"):
        break_file(context, table, "missing")
    mend(context)
    assert findings(context) == []
    assert checksum(context, "documents") == before
