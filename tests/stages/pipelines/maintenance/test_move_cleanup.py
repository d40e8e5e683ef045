"""Old copies of moved files stay for a grace, and go then; so do copies of runs that died."""

import time
from datetime import timedelta

import pytest

from strata.errors import ConflictError
from strata.jobs.cli import main
from strata.pipelines.maintenance import move as move_module
from strata.storage.cleanup.garbage import find_orphans
from strata.storage.layout.file_names import file_name
from strata.storage.lifecycle import move_cleanup
from strata.storage.lifecycle.accesses import accesses_folder, record_accesses
from strata.storage.lifecycle.journal import MoveJournal
from strata.storage.lifecycle.move_cleanup import LONGEST_MOVE, clean_up_moves, pending_copies
from strata.storage.transfer.metering import FileReads
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tiered import NO_GRACE, ids_of, journal_of, move, put, tag, tiers_used


def test_move_old_copies_stay_for_the_grace_and_then_go(settings, corpus):
    old = put(corpus, settings, [1, 2])
    tag(corpus, "v1")
    before = corpus.table("clusters").snapshots()[-1].snapshot_id
    move(settings)
    assert corpus.store.exists(old.location)
    report = move(settings)
    assert report.details.settled.waiting == 1
    # Until then the table can be read as it was.
    assert len(corpus.table("clusters").iceberg().scan(snapshot_id=before).to_arrow()) == 2
    time.sleep(0.002)
    report = move(settings, grace=NO_GRACE)
    assert report.details.settled.files == 1
    assert not corpus.store.exists(old.location)
    assert (ids_of(corpus), ids_of(corpus, "v1")) == ([1, 2], [1, 2])
    assert before not in {s.snapshot_id for s in corpus.table("clusters").snapshots()}
    journal = journal_of(corpus)
    assert (journal.intents(), journal.all_copied(), len(journal.rates())) == ([], [], 1)


def test_settle_leaves_what_a_snapshot_outside_still_needs(settings, corpus):
    old = put(corpus, settings, [1])
    move(settings)
    # Someone keeps the former state by a branch of his own.
    iceberg = corpus.table("clusters").iceberg()
    first = iceberg.metadata.snapshots[0].snapshot_id
    iceberg.manage_snapshots().create_branch(first, "mine").commit()
    time.sleep(0.002)
    assert pending_copies(corpus, LONGEST_MOVE) == []
    assert pending_copies(corpus, NO_GRACE) == [old.location]
    settled = clean_up_moves(corpus, NO_GRACE)
    assert (settled.files, settled.waiting) == (0, 1)
    assert corpus.store.exists(old.location)
    corpus.table("clusters").iceberg().manage_snapshots().remove_branch("mine").commit()
    assert clean_up_moves(corpus, NO_GRACE).files == 1


def test_settle_cleans_up_after_a_run_that_died_but_not_after_one_that_may_live(
    settings, corpus, monkeypatch
):
    put(corpus, settings, [1])
    folder = tiers_of(settings)["cold"].folder("web", "clusters")
    begun = journal_of(corpus).begin("dead", "clusters", "cold", folder, ["x"])
    half = folder / file_name(f"{begun.stem}-0", "zstd-9")
    corpus.store.write_bytes(half, b"half")
    other = folder / file_name("move-other-0", "zstd-9")
    corpus.store.write_bytes(other, b"other")
    assert clean_up_moves(corpus, NO_GRACE).files == 0
    later = time.time_ns() + round(LONGEST_MOVE.total_seconds() * 1e9) + 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert clean_up_moves(corpus, NO_GRACE).files == 1
    assert not corpus.store.exists(half)
    assert corpus.store.exists(other)
    assert journal_of(corpus).intents() == []


@pytest.mark.parametrize("asleep_before", ["copied", "log_file_lineage"])
def test_move_of_a_run_that_slept_until_it_was_given_up_publishes_nothing(
    settings, corpus, monkeypatch, asleep_before
):
    put(corpus, settings, [1, 2])
    owner = MoveJournal if asleep_before == "copied" else move_module
    real = getattr(owner, asleep_before)

    def after_a_long_sleep(*given):
        with monkeypatch.context() as patch:
            patch.setattr(move_cleanup, "LONGEST_MOVE", timedelta(seconds=-1))
            assert clean_up_moves(corpus, timedelta(seconds=-1)).files == 1
        return real(*given)

    monkeypatch.setattr(owner, asleep_before, after_a_long_sleep)
    with pytest.raises(ConflictError, match="longer than any move may"):
        move(settings)
    monkeypatch.undo()
    assert (ids_of(corpus), tiers_used(corpus)) == ([1, 2], ["hot"])
    move(settings)
    assert (ids_of(corpus), tiers_used(corpus)) == ([1, 2], ["cold"])


def test_gc_settles_moves_too(settings, corpus, tmp_path, capsys):
    old = put(corpus, settings, [1])
    move(settings)
    file = tmp_path / "web.toml"
    file.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n[[inputs]]\npath = "nothing"\n'
        f'[tiers.hot]\nurl = "{settings.tiers["hot"].url}"\n'
        f'[tiers.cold]\nurl = "{settings.tiers["cold"].url}"\n'
    )
    time.sleep(0.002)
    assert main(["storage", "gc", str(file), "--dry-run"]) == 0
    assert corpus.store.exists(old.location)
    assert main(["storage", "gc", str(file), "--older-than", "0"]) == 0
    assert not corpus.store.exists(old.location)
    assert ids_of(corpus) == [1]
    capsys.readouterr()


def test_gc_never_takes_journal_or_access_log(settings, corpus):
    put(corpus, settings, [1])
    move(settings)
    record_accesses(
        corpus.store, accesses_folder(corpus.warehouse, "web"), "r", {"x": FileReads(1, 1)}
    )
    orphans = find_orphans(corpus, tiers_of(settings).values(), NO_GRACE)
    assert [o for o in orphans if "/moves/" in str(o.url) or "/accesses/" in str(o.url)] == []


def test_move_grace_counts_in_hours(settings, corpus):
    put(corpus, settings, [1])
    move(settings)
    assert clean_up_moves(corpus, timedelta(hours=1)).files == 0
