"""Files go where the rules want them, and tags follow."""

import json

from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.maintenance import move as move_module
from strata.pipelines.maintenance import move_task
from strata.pipelines.retraction.request import RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.settings import InputSettings
from strata.storage.iceberg.snapshots import live_files
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses, record_accesses
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from strata.storage.transfer.metering import FileReads
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tiered import GRACE, files, ids_of, move, put, tag, tiered, tiers_used
from tests.support.sequential import sequential_context


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
    with open_to_write(settings) as corpus:
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
    with open_to_write(settings) as corpus:
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
    with open_to_write(settings) as corpus:
        sizes = [put(corpus, settings, [i], days=i).n_bytes for i in (1, 2, 3)]
    tiers = settings.model_dump()["tiers"]
    tiers["hot"] |= {"capacity_gb": sum(sizes[:2]) / 1e9, "spill_to": "cold"}
    full = settings.model_validate(settings.model_dump() | {"tiers": tiers})
    move(full)
    with open_to_write(full) as corpus:
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
