"""A move that fails, dies, or meets another run loses nothing and publishes nothing wrong."""

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

from strata.errors import BalanceError, ConflictError, InputError, MachineError
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance import move as move_module
from strata.pipelines.maintenance import move_task
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.contracts.url import Url
from strata.storage.iceberg.commits import RewriteCommit
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import TableWriter
from tests.support.corpora.tier_files import files_in
from tests.support.corpora.tiered import (
    ids_by_ref,
    ids_of,
    journal_of,
    move,
    put,
    tag,
    tiered,
    tiers_used,
)


def test_move_that_died_between_the_tags_is_finished_with_the_same_files(
    settings, corpus, monkeypatch
):
    put(corpus, settings, [1])
    for name in ("v1", "v2"):
        tag(corpus, name)
    real = RewriteCommit.run

    def dies(commit):
        if commit._target_branch == "v2":
            raise KeyboardInterrupt
        real(commit)

    with monkeypatch.context() as patch:
        patch.setattr(RewriteCommit, "run", dies)
        with pytest.raises(KeyboardInterrupt):
            move(settings)
    assert len(held_files(corpus.table("clusters"))) == 2
    report = move(settings)
    assert report.details.settled.tags_followed == 2
    (held,) = held_files(corpus.table("clusters"))
    assert held.refs == {"main", "v1", "v2"}
    assert [ids_of(corpus, name) for name in sorted(held.refs)] == [[1], [1], [1]]


def test_move_damaged_file_stays_and_all_others_go(settings, corpus):
    bad = put(corpus, settings, [1, 2, 3])
    put(corpus, settings, [4])
    data = bytearray(corpus.store.read_bytes(bad.location))
    data[30:90] = bytes(60)
    corpus.store.write_bytes(bad.location, bytes(data))
    with pytest.raises(InputError, match=r"1 files were not moved, all others were.*hot/"):
        move(settings)
    assert tiers_used(corpus) == ["cold", "hot"]
    folder = Url.parse(settings.tiers["cold"].url)
    assert len(files_in(corpus.store, folder)) == 1


def test_move_rows_that_come_out_different_are_never_published(settings, corpus, monkeypatch):
    put(corpus, settings, [1, 2, 3])
    real = TableWriter.write

    def wrong(self, batch):
        real(
            self,
            batch.set_column(
                1,
                "kept_id",
                batch.column("doc_id").filter(batch.column("doc_id").is_valid()).take([1, 1, 1]),
            ),
        )

    monkeypatch.setattr(TableWriter, "write", wrong)
    with pytest.raises(BalanceError, match="kept_id"):
        move(settings)
    assert tiers_used(corpus) == ["hot"]
    assert files_in(corpus.store, Url.parse(settings.tiers["cold"].url)) == []


@pytest.mark.parametrize("level", [3, 9])
def test_move_copy_that_was_damaged_on_its_way_is_dropped(tmp_path, level, monkeypatch):
    settings = tiered(str(tmp_path), level=level)
    real = move_task.checksum_rows

    def flipped(scan, schema):
        sums = real(scan, schema)
        if "/cold/" in str(scan.url):
            return RowsChecksum(sums.rows, sums.total ^ 1, sums.columns)
        return sums

    monkeypatch.setattr(move_task, "checksum_rows", flipped)
    with open_to_write(settings) as corpus:
        put(corpus, settings, [1, 2, 3])
        with pytest.raises(BalanceError, match="are not those of"):
            move(settings)
        assert tiers_used(corpus) == ["hot"]
        assert files_in(corpus.store, Url.parse(settings.tiers["cold"].url)) == []


def test_move_a_file_that_another_run_replaced_meanwhile_is_left_to_it(
    settings, corpus, monkeypatch
):
    old = put(corpus, settings, [1, 2])
    put(corpus, settings, [3])
    real = move_task.run_move_task

    def overtaken(task):
        result = real(task)
        if task.file.url == old.url:
            with TableWriter(
                corpus.store, old.location.parent, "clusters", task.layout, "compress"
            ) as writer:
                table = pq.read_table(old.location.path, schema=CLUSTERS)
                writer.write(table.to_batches()[0])
            replacement = Replacement((old.url,), tuple(writer.close()))
            replace_files(corpus.table("clusters"), [replacement], run_id="other")
        return result

    monkeypatch.setattr(move_module, "run_move_task", overtaken)
    report = move(settings)
    assert ids_of(corpus) == [1, 2, 3]
    assert tiers_used(corpus) == ["cold", "hot"]
    assert report.details.overtaken == 1
    assert len(files_in(corpus.store, Url.parse(settings.tiers["cold"].url))) == 1


def test_move_whose_commit_is_told_to_have_lost_keeps_its_copies(settings, corpus, monkeypatch):
    put(corpus, settings, [1, 2])
    tag(corpus, "v1")
    real, calls = SqlCatalog.commit_table, []

    def lost(self, *rest):
        answer = real(self, *rest)
        calls.append(1)
        if len(calls) <= 2:
            # As a proxy does that repeats a request whose answer it has lost.
            raise CommitFailedException("it has been updated by another process")
        return answer

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    report = move(settings)
    assert ids_by_ref(corpus) == {"main": [1, 2], "v1": [1, 2]}
    assert (tiers_used(corpus), report.details.overtaken) == (["cold"], 0)


def test_move_beside_a_retraction_publishes_nothing(settings, corpus, monkeypatch):
    put(corpus, settings, [1])
    keys = iter(["before", "after"])

    def refuse(*_):
        raise ConflictError(f"retracted {next(keys)}")

    monkeypatch.setattr(RetractionGuard, "check", refuse)
    with pytest.raises(ConflictError, match="retracted"):
        move(settings)
    assert tiers_used(corpus) == ["hot"]


def test_move_into_a_full_tier_says_so_before_it_copies(tmp_path):
    settings = tiered(str(tmp_path), capacity_gb=1e-9)
    with open_to_write(settings) as corpus:
        put(corpus, settings, [1])
        with pytest.raises(MachineError, match="tier cold would hold"):
            move(settings)
        assert journal_of(corpus).intents() == []
