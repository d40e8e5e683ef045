"""Whole shard stages over inputs that are not what their names or formats promise."""

import io
import tarfile

import pytest

from strata.errors import RejectLimitError
from strata.pipelines.stages.shard import plan_inputs, run_shard
from strata.settings import Settings
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

LINES = b"".join(b'{"text": "line %d of an input"}\n' % number for number in range(40))


@pytest.fixture
def context_of(tmp_path):
    def make(files, **shard):
        folder = tmp_path / "in"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        settings = Settings(
            corpus="web",
            warehouse=str(tmp_path / "wh"),
            inputs=[{"path": str(folder), "missing": "skip"}],
            shard=shard,
        )
        return sequential_context(settings)

    return make


def tar(data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("array.json", b'[{"text": "a"},\n{"text": "b"}]', "one JSON array.*jq -c"),
        ("rows.parquet", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("page.jsonl.gz", b"<!DOCTYPE html><html>404</html>", "an HTML page.*not gzip"),
    ],
)
def test_shard_error_says_what_the_file_is_and_the_remedy(context_of, name, data, words):
    with pytest.raises(RejectLimitError, match=words):
        run_shard(context_of({name: data}))


def test_shard_takes_no_document_out_of_an_archive_that_is_cut_into_splits(context_of):
    context = context_of(
        {"a.jsonl": LINES, "b.jsonl": tar(LINES * 10)}, split_mb=0.002, max_reject_ratio=1
    )
    report = run_shard(context)
    assert (report.rows_out, report.rejected) == (40, {"wrong_content": 1})
    assert report.details.broken_files == 1
    (reject,) = rows_of(context, "rejects")
    assert "a tar archive" in reject["excerpt"]
    assert {row["status"] for row in rows_of(context, "inputs")} == {"read", "broken"}


def test_shard_counts_documents_that_lost_nul_characters(context_of):
    data = LINES + b'{"text": "n\\u0000ul"}\n'
    context = context_of({"a.jsonl": data})
    report = run_shard(context)
    assert (report.rows_out, report.rejected, report.details.nul_removed) == (41, {}, 1)
    assert "nul" in {row["text"] for row in rows_of(context, "documents")}


def test_shard_counts_links_that_lead_nowhere(context_of, tmp_path):
    context = context_of({"a.jsonl": LINES})
    (tmp_path / "in/gone.jsonl").symlink_to("nowhere")
    assert run_shard(context).details.files_skipped == {"dangling_link": 1}
    assert plan_inputs(context, context.corpus).plan.done
