"""Ingest, two movers and a tagger at once, in many interleavings: no row is lost or doubled."""

from datetime import UTC, datetime, timedelta

import pytest

from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.lifecycle.move_cleanup import clean_up_moves
from strata.storage.tables import table as table_module
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from strata.storage.tables.table import TABLE_PROPERTIES
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tier_files import files_in
from tests.support.corpora.tiered import NO_GRACE, ids_by_ref, ids_of, move, put, tag, tiered
from tests.support.faults.schedules import Schedule, steps_at_every_call

SCHEDULES = 200
GROUPS = 20
# Of so many schedules, what is left over is collected after one.
COLLECTED = 10
# A lost race costs another attempt, not a wait.
PROPERTIES = TABLE_PROPERTIES | {"commit.retry.min-wait-ms": "0", "commit.retry.max-wait-ms": "0"}


@pytest.mark.parametrize("group", range(GROUPS))
def test_schedules_no_row_is_lost_or_doubled(tmp_path, group, monkeypatch):
    monkeypatch.setattr(table_module, "TABLE_PROPERTIES", PROPERTIES)
    for seed in range(group, SCHEDULES, GROUPS):
        # Copies and recompression in turn.
        settings = tiered(f"{tmp_path}/{seed}", level=3 if (seed // GROUPS) % 2 else 5)
        with open_to_write(settings) as corpus:
            try:
                tagged = _run(settings, corpus, seed)
                _check(corpus, tagged)
                if (seed // GROUPS) % COLLECTED == group % COLLECTED:
                    _finish(settings, corpus, tagged)
            except Exception as error:
                error.add_note(f"schedule {seed}")
                raise


def _run(settings, corpus, seed):
    put(corpus, settings, [1, 2])
    tag(corpus, "v0")
    put(corpus, settings, [3])
    tagged = {"v0": [1, 2]}

    def ingest():
        with open_to_write(settings) as own:
            put(own, settings, [10, 11])
            put(own, settings, [12], days=1)

    def tagging():
        with open_to_write(settings) as own:
            tag(own, "v1")
            tagged["v1"] = ids_of(own, "v1")

    schedule = Schedule(seed)
    with steps_at_every_call(lambda _: schedule.step()):
        schedule.run(
            {
                "ingest": ingest,
                "tagging": tagging,
                "mover a": lambda: move(settings, run_id="a"),
                "mover b": lambda: move(settings, run_id="b"),
            }
        )
    return tagged


def _check(corpus, tagged):
    assert ids_by_ref(corpus) == {"main": [1, 2, 3, 10, 11, 12]} | tagged


def _finish(settings, corpus, tagged):
    """What is left to do is done by the next move, and what is left over goes."""
    move(settings, run_id="last")
    clean_up_moves(corpus, NO_GRACE)
    expire(corpus.table("clusters"), datetime.now(UTC) + timedelta(seconds=1))
    tiers = tiers_of(settings)
    collect_garbage(corpus.store, find_orphans(corpus, tiers.values(), timedelta(seconds=-1)))
    _check(corpus, tagged)
    held = [each.file for each in held_files(corpus.table("clusters"))]
    assert all("/cold/" in file.url for file in held if file.min_doc_id != 12)
    there = [info for name in ("hot", "cold") for info in files_in(corpus.store, tiers[name].url)]
    assert sorted(str(info.url) for info in there) == sorted(file.url for file in held)
