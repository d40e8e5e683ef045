"""Files go where the rules want them, tags follow, and old copies go after a grace."""

import json
import time
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

from strata.errors import BalanceError, ConflictError, InputError, MachineError
from strata.jobs.cli import main
from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance import move as move_module
from strata.pipelines.maintenance import move_task
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import InputSettings
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.cleanup.garbage import find_orphans
from strata.storage.contracts.url import Url
from strata.storage.iceberg.commits import RewriteCommit
from strata.storage.iceberg.snapshots import live_files
from strata.storage.layout.file_names import file_name
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.lifecycle import move_cleanup
from strata.storage.lifecycle.accesses import (
    accesses_folder,
    read_accesses,
    record_accesses,
)
from strata.storage.lifecycle.journal import MoveJournal, moves_folder
from strata.storage.lifecycle.move_cleanup import LONGEST_MOVE, clean_up_moves, pending_copies
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.held_files import held_files
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.transfer.metering import FileReads
from strata.storage.writing.parquet import TableWriter
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tiered import (
    GRACE,
    NO_GRACE,
    files,
    ids_by_ref,
    ids_of,
    move,
    put,
    tag,
    tiered,
    tiers_used,
)
from tests.support.sequential import sequential_context


@pytest.fixture
def settings(tmp_path):
    return tiered(str(tmp_path))


@pytest.fixture
def corpus(settings):
    with open_corpus(settings) as corpus:
        yield corpus


def journal_of(corpus):
    return MoveJournal(corpus.store, moves_folder(corpus.warehouse, "web"))


def test_move_recompresses_what_a_rule_wants_elsewhere(settings, corpus):
    old = put(corpus, settings, [1, 2, 3])
    young = put(corpus, settings, [4], days=1)
    key = corpus.table("clusters").content_key
    report = move(settings)
    assert ids_of(corpus) == [1, 2, 3, 4]
    new, stayed = files(corpus)
    assert stayed == young
    assert (new.codec, new.level, new.rows, new.created_ms) == ("zstd", 9, 3, old.created_ms)
    assert new.location.parent == tiers_of(settings)["cold"].folder("web", "clusters")
    assert corpus.table("clusters").snapshots()[-1].operation == "replace"
    assert corpus.table("clusters").content_key == key
    assert (report.rows_in, report.rows_out, report.status) == (3, 3, StageStatus.DONE)
    (pair,) = report.details.moves
    assert (pair.source, pair.target, pair.files, pair.bytes_after) == (
        *("hot", "cold"),
        1,
        new.n_bytes,
    )
    assert move(settings).status is StageStatus.SKIPPED


def test_move_copies_byte_by_byte_where_codec_and_level_stay(tmp_path):
    settings = tiered(str(tmp_path), level=3)
    with open_corpus(settings) as corpus:
        old = put(corpus, settings, [1, 2])
        move(settings)
        (new,) = files(corpus)
        assert corpus.store.read_bytes(new.location) == corpus.store.read_bytes(old.location)
        assert (new.n_bytes, new.url != old.url, new.created_ms) == (
            old.n_bytes,
            True,
            old.created_ms,
        )
        assert new.location.name.startswith("move-")
        assert ids_of(corpus) == [1, 2]


def test_move_of_a_file_without_checksum_compares_with_the_rows_read_again(tmp_path, monkeypatch):
    settings = tiered(str(tmp_path), level=3)
    with open_corpus(settings) as corpus:
        put(corpus, settings, [1, 2])
        monkeypatch.setattr(move_task, "checksum_of", lambda _: None)
        move(settings)
        assert tiers_used(corpus) == ["cold"]


def test_move_brings_back_what_is_read_again(tmp_path, corpus, settings):
    put(corpus, settings, [1])
    move(settings)
    (cold,) = files(corpus)
    folder = accesses_folder(corpus.warehouse, "web")
    record_accesses(corpus.store, folder, "r", {cold.location.name: FileReads(5, 50)})
    rules = [{"reads_at_least": 5, "to": "hot"}, {"older_than_days": 30, "to": "cold"}]
    promoting = tiered(str(tmp_path), rules)
    move(promoting)
    (hot,) = files(corpus)
    assert tiers_used(corpus) == ["hot"]
    # The reads went along, so it stays.
    history = read_accesses(corpus.store, folder)
    assert sum(history.of(hot.location.name).reads.values()) == 5
    assert move(promoting).status is StageStatus.SKIPPED


def test_move_spills_the_coldest_of_a_full_tier(tmp_path):
    settings = tiered(str(tmp_path), [])
    with open_corpus(settings) as corpus:
        sizes = [put(corpus, settings, [i], days=i).n_bytes for i in (1, 2, 3)]
    tiers = settings.model_dump()["tiers"]
    tiers["hot"] |= {"capacity_gb": sum(sizes[:2]) / 1e9, "spill_to": "cold"}
    full = settings.model_validate(settings.model_dump() | {"tiers": tiers})
    move(full)
    with open_corpus(full) as corpus:
        assert tiers_used(corpus) == ["cold", "hot", "hot"]
        (spilled,) = [file for file in files(corpus) if "/cold/" in file.url]
        assert spilled.min_doc_id == 3


def test_move_several_batches_are_one_commit_each(settings, corpus, monkeypatch):
    monkeypatch.setattr(move_module, "BATCH_FILES", 2)
    for i in range(5):
        put(corpus, settings, [i])
    before = len(corpus.table("clusters").snapshots())
    move(settings)
    assert len(corpus.table("clusters").snapshots()) == before + 3
    assert tiers_used(corpus) == ["cold"] * 5
    assert ids_of(corpus) == [0, 1, 2, 3, 4]


# tags


def test_move_tags_follow_and_keep_their_rows(settings, corpus):
    put(corpus, settings, [1])
    tag(corpus, "v1")
    put(corpus, settings, [2])
    tag(corpus, "v2")
    put(corpus, settings, [3])
    before = {name: ids_of(corpus, name) for name in ("main", "v1", "v2")}
    move(settings)
    assert {name: ids_of(corpus, name) for name in before} == before
    held = held_files(corpus.table("clusters"))
    assert all("/cold/" in each.file.url for each in held)
    assert len(held) == 3
    refs = corpus.table("clusters").iceberg().metadata.refs
    assert {name: str(ref.snapshot_ref_type) for name, ref in refs.items()} == {
        "main": "branch",
        "v1": "tag",
        "v2": "tag",
    }


def test_move_tag_keeps_its_age_limit_and_the_result_that_it_names(settings, corpus):
    put(corpus, settings, [1])
    iceberg = corpus.table("clusters").iceberg()
    head = iceberg.current_snapshot().snapshot_id
    iceberg.manage_snapshots().create_tag(head, "v1", max_ref_age_ms=10**12).commit()
    put(corpus, settings, [2])
    move(settings)
    metadata = corpus.table("clusters").iceberg().metadata
    assert metadata.refs["v1"].max_ref_age_ms == 10**12
    tagged = metadata.snapshot_by_name("v1").summary.additional_properties
    assert tagged["strata.content-key"] == "key-1"
    assert tagged["total-records"] == "1"


def test_move_files_that_only_a_tag_refers_to(tmp_path, settings, corpus):
    put(corpus, settings, [1])
    tag(corpus, "v1")
    table = corpus.table("clusters")
    from strata.storage.tables.publish import PublishMode, publish

    publish(table, [], mode=PublishMode.OVERWRITE, content_key="empty", run_id="r")
    put(corpus, settings, [2])
    move(tiered(str(tmp_path), [{"only_tags": ["v*"], "to": "cold"}]))
    assert (ids_of(corpus, "v1"), ids_of(corpus)) == ([1], [2])
    assert tiers_used(corpus) == ["hot"]
    (kept,) = [held for held in held_files(table) if held.refs == {"v1"}]
    assert "/cold/" in kept.file.url


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


# old copies


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


# compaction


def compress(settings):
    return run_compress(sequential_context(settings))


def compressing(settings):
    more = {"compress": {"tables": ["clusters"], "min_files": 2}}
    return settings.model_validate(settings.model_dump() | more)


def test_compress_leaves_what_a_rule_has_moved(settings, corpus):
    put(corpus, settings, [1])
    move(settings)
    before = files(corpus)
    assert compress(compressing(settings)).status is StageStatus.SKIPPED
    assert files(corpus) == before


def test_compress_merges_small_files_in_the_tier_that_they_were_moved_to(settings, corpus):
    for i in range(3):
        put(corpus, settings, [i])
    put(corpus, settings, [7], days=1)
    put(corpus, settings, [8], days=1)
    move(settings)
    compress(compressing(settings))
    assert tiers_used(corpus) == ["cold", "hot"]
    assert ids_of(corpus) == [0, 1, 2, 7, 8]
    assert compress(compressing(settings)).status is StageStatus.SKIPPED
    # Ages are known still, so nothing moves.
    assert move(settings).status is StageStatus.SKIPPED


def test_compress_takes_files_home_once_no_rule_sends_them_away(settings, corpus):
    put(corpus, settings, [1])
    move(settings)
    ruleless = settings.model_validate(settings.model_dump() | {"lifecycle": []})
    compress(compressing(ruleless))
    assert tiers_used(corpus) == ["hot"]
    assert ids_of(corpus) == [1]


def test_compress_takes_home_what_landed_elsewhere_though_a_rule_could_send_it_there(
    settings, corpus
):
    put(corpus, settings, [1], days=1, tier="cold")
    compress(compressing(settings))
    assert tiers_used(corpus) == ["hot"]


# retraction


def test_retraction_leaves_moved_files_in_their_tier_with_their_age_and_reads(tmp_path):
    lines = [json.dumps({"text": f"number {n} " * 30, "id": f"doc-{n}"}) for n in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    rules = [{"tables": ["documents"], "to": "cold"}]
    settings = tiered(str(tmp_path), rules).model_copy(
        update={"inputs": (InputSettings(path=str(tmp_path / "in.jsonl")),)}
    )
    context = sequential_context(settings)
    run_shard(context)
    move(settings)
    (old,) = context.corpus.table("documents").files()
    folder = accesses_folder(context.corpus.warehouse, "web")
    record_accesses(context.store, folder, "r", {old.location.name: FileReads(3, 1)})
    run_retract(context, RetractRequest((Selector(SelectorKind.ID, "doc-3"),)))
    (new,) = context.corpus.table("documents").files()
    assert (new.rows, new.created_ms) == (19, old.created_ms)
    assert new.location.parent == old.location.parent
    assert sum(read_accesses(context.store, folder).of(new.location.name).reads.values()) == 3
    assert run_compress(context).status is StageStatus.SKIPPED


# what can go wrong


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
    assert len(corpus.store.find(folder)) == 1


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
    assert corpus.store.find(Url.parse(settings.tiers["cold"].url)) == []


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
    with open_corpus(settings) as corpus:
        put(corpus, settings, [1, 2, 3])
        with pytest.raises(BalanceError, match="are not those of"):
            move(settings)
        assert tiers_used(corpus) == ["hot"]
        assert corpus.store.find(Url.parse(settings.tiers["cold"].url)) == []


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
    assert len(corpus.store.find(Url.parse(settings.tiers["cold"].url))) == 1


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
    with open_corpus(settings) as corpus:
        put(corpus, settings, [1])
        with pytest.raises(MachineError, match="tier cold would hold"):
            move(settings)
        assert journal_of(corpus).intents() == []


def test_move_keeps_data_sequence_numbers_of_the_table(settings, corpus):
    put(corpus, settings, [1])
    put(corpus, settings, [2], days=1)

    def numbers():
        iceberg = corpus.table("clusters").iceberg()
        return sorted(
            entry.sequence_number
            for manifest in iceberg.current_snapshot().manifests(iceberg.io)
            for entry in manifest.fetch_manifest_entry(iceberg.io)
        )

    before = numbers()
    move(settings, GRACE)
    assert numbers() == before
    iceberg = corpus.table("clusters").iceberg()
    assert len(live_files(iceberg.metadata, iceberg.io)) == 2


def test_move_grace_counts_in_hours(settings, corpus):
    put(corpus, settings, [1])
    move(settings)
    assert clean_up_moves(corpus, timedelta(hours=1)).files == 0
