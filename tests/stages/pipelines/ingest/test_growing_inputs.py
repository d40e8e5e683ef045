"""Files that grow by appended lines, with ``changed_inputs = "append"``."""

import gzip
import json
import os

import pytest

from strata.errors import InputError
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.repair.run import RepairStatus
from strata.pipelines.stages import shard as shard_stage
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.settings import Settings
from tests.support.corpora.damaged import break_file, checksum, mend
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

APPEND = {"changed_inputs": "append", "max_reject_ratio": 1}


def line(number, text=""):
    text = text or f"The text of document {number} has words of its own, {number * 7919}."
    return json.dumps({"id": f"d{number}", "text": text}).encode() + b"\n"


def lines(*numbers):
    return b"".join(line(number) for number in numbers)


class Log:
    """An input folder with one log, and its corpus."""

    def __init__(self, folder):
        self.folder = folder
        self.runs = 0
        (folder / "in").mkdir()
        self.file = folder / "in" / "log.jsonl"

    def context(self, **shard):
        self.runs += 1
        settings = Settings(
            corpus="web",
            warehouse=str(self.folder / "wh"),
            inputs=[{"path": str(self.folder / "in")}],
            shard=APPEND | shard,
        )
        return sequential_context(settings, f"run-{self.runs}")

    def shard(self, data=None, **shard):
        if data is not None:
            self.file.write_bytes(data)
            os.utime(self.file, ns=(0, self.runs * 10**9))
        return run_shard(self.context(**shard))

    def documents(self):
        rows = rows_of(self.context(), "documents")
        return {row["doc_id"]: row["id"] for row in rows}

    def refused(self, data, **shard):
        with pytest.raises(InputError) as caught:
            self.shard(data, **shard)
        return caught.value.reason


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def test_appended_lines_alone_are_read_and_old_ids_stay(log):
    # The first reading needs no setting.
    log.shard(lines(1, 2, 3), changed_inputs="refuse")
    before = log.documents()
    report = log.shard(lines(1, 2, 3, 4, 5))
    assert (report.rows_in, report.rows_out) == (2, 2)
    assert report.details.input_bytes == len(lines(4, 5))
    after = log.documents()
    assert before.items() <= after.items()
    assert sorted(after.values()) == ["d1", "d2", "d3", "d4", "d5"]
    # New documents come after all old ones, as those of new files do.
    assert max(before) < min(after.keys() - before.keys())
    assert log.shard().status is StageStatus.SKIPPED


def test_file_grows_again_and_again_in_several_splits(log):
    numbers = range(200)
    for stop in (60, 61, 200):
        log.shard(lines(*numbers[:stop]), split_mb=0.001)
    assert sorted(log.documents().values()) == sorted(f"d{n}" for n in numbers)
    assert log.shard(split_mb=0.001).status is StageStatus.SKIPPED


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n"])
def test_whole_record_without_newline_is_read_once(log, end):
    whole = lines(1, 2).removesuffix(b"\n")
    log.shard(whole)
    assert log.shard(whole + end + line(3)).rows_in == 1
    assert sorted(log.documents().values()) == ["d1", "d2", "d3"]


@pytest.mark.parametrize("kept", [1, 20, len(line(2)) - 2])
def test_line_that_was_not_complete_is_read_again_as_a_whole(log, kept):
    first = log.shard(line(1) + line(2)[:kept])
    assert first.rejected == {"invalid_json": 1}
    report = log.shard(lines(1, 2, 3))
    assert (report.rows_in, report.rejected) == (2, {})
    assert sorted(log.documents().values()) == ["d1", "d2", "d3"]


def test_only_line_that_was_not_complete_is_read_again(log):
    log.shard(line(1)[:9])
    assert log.shard(lines(1)).rows_out == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lines(1, 9, 3, 4), "bytes are not what they were"),
        (lines(1, 2), "bytes, and had"),
        (lines(1, 2, 3).removesuffix(b"\n") + line(4), "goes on behind its end"),
    ],
)
def test_file_that_did_more_than_grow_is_refused_and_says_why(log, data, reason):
    log.shard(lines(1, 2, 3).removesuffix(b"\n" if "goes on" in reason else b""))
    before = log.documents()
    assert reason in log.refused(data)
    assert log.documents() == before


def test_file_that_was_only_touched_has_nothing_new(log):
    log.shard(lines(1, 2))
    report = log.shard(lines(1, 2))
    assert (report.rows_in, report.rows_out) == (0, 0)
    assert sorted(log.documents().values()) == ["d1", "d2"]
    assert log.shard().status is StageStatus.SKIPPED


def test_missing_and_compressed_files_are_refused(log):
    log.file = log.file.with_name("log.jsonl.gz")
    log.shard(gzip.compress(lines(1)))
    assert "only plain JSON lines" in log.refused(gzip.compress(lines(1, 2)))
    log.file.rename(log.file.with_name("other.jsonl.gz"))
    assert "is gone" in log.refused(None)


def test_grown_file_is_refused_where_the_settings_refuse_changes(log):
    log.shard(lines(1))
    assert "changed or are gone" in log.refused(lines(1, 2), changed_inputs="refuse")


def test_rebuild_reads_a_grown_file_from_its_beginning(log):
    log.shard(lines(1))
    log.shard(lines(1, 2))
    log.shard(lines(3, 4), changed_inputs="rebuild")
    assert sorted(log.documents().values()) == ["d3", "d4"]
    log.shard(lines(3, 4, 5))
    assert sorted(log.documents().values()) == ["d3", "d4", "d5"]


def test_dedup_takes_appended_lines_in_as_it_does_new_files(log):
    text = "the same long text in two lines of one log, word for word and comma for comma"
    log.shard(line(1, text) + line(2))
    run_dedup(log.context())
    log.shard(line(1, text) + line(2) + line(3, text))
    run_dedup(log.context())
    by_id = {name: number for number, name in log.documents().items()}
    ledger = {row["doc_id"]: row["kept_id"] for row in rows_of(log.context(), "clusters")}
    assert ledger == {by_id["d1"]: by_id["d1"], by_id["d3"]: by_id["d1"]}


def test_lines_appended_between_listing_and_reading_are_left_to_the_next_run(log, monkeypatch):
    # The file has two records and the beginning of a third one when it is listed.
    short, whole = lines(1, 2) + line(3)[:20], lines(1, 2, 3, 4)
    listed = shard_stage.list_inputs

    def grown_after_listing(*args):
        found = listed(*args)
        log.file.write_bytes(whole)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(shard_stage, "list_inputs", grown_after_listing)
        assert log.shard(short).rejected == {"invalid_json": 1}
    assert log.shard(whole).rows_out == 2
    assert sorted(log.documents().values()) == ["d1", "d2", "d3", "d4"]


def test_repair_finds_the_rows_of_a_file_that_grew(log):
    log.shard(lines(1, 2))
    log.shard(lines(1, 2, 3))
    context = log.context()
    before = checksum(context, "documents")
    for _ in range(2):
        break_file(context, "documents", "missing")
        assert {done.outcome for done in mend(context)} == {RepairStatus.REBUILT}
    assert checksum(context, "documents") == before
