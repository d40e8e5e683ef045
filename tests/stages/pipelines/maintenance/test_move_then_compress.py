"""Compaction leaves files in the tier to which a rule has moved them."""

from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.stages.compress import run_compress
from tests.support.corpora.tiered import files, ids_of, move, put, tiers_used
from tests.support.sequential import sequential_context


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
