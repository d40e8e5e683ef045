import pytest
from pydantic import ValidationError

from strata.errors import MachineError
from strata.lifecycle_settings import LifecycleRule
from strata.settings import Settings
from strata.storage.layout.file_names import file_name
from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.lifecycle.accesses import DAY_MS, AccessHistory, FileHistory
from strata.storage.lifecycle.rules import SPILL, is_met, plan_moves
from strata.storage.tables.held_files import HeldFile

NOW = 20_000 * DAY_MS + 5_000
MB = 1_000_000
TIERS = {
    "hot": {"url": "/tiers/hot"},
    "warm": {"url": "/tiers/warm"},
    "cold": {"url": "/tiers/cold"},
}


def settings_with(rules=(), **tiers):
    merged = {name: TIERS[name] | tiers.get(name, {}) for name in TIERS}
    return Settings(
        corpus="web", warehouse="/house", inputs=({"path": "x"},), tiers=merged, lifecycle=rules
    )


def held(
    name="a",
    tier="hot",
    table="documents",
    days=0.0,
    n_bytes=MB,
    refs=(PRESENT,),
    partition=(),
    bounds=(),
    born=...,
):
    created_ms = round(NOW - days * DAY_MS) if born is ... else born
    url = f"file:///tiers/{tier}/web/{table}/data/{name}"
    file = TableFile(url, 10, n_bytes, 0, 9, 1, "zstd", 3, created_ms)
    return HeldFile(table, file, frozenset(refs), dict(partition), dict(bounds))


def read(*days_ago, each=1):
    reads = {(NOW - day * DAY_MS) // DAY_MS: each for day in days_ago}
    return FileHistory(reads, 100, NOW - min(days_ago, default=0) * DAY_MS if days_ago else 0)


def met(rule, file, history=None):
    return is_met(LifecycleRule(to="cold", **rule), file, history or FileHistory(), NOW)


# conditions


@pytest.mark.parametrize(
    ("rule", "file", "expected"),
    [
        ({}, {}, True),
        ({"tables": ["tokens"]}, {}, False),
        ({"tables": ["tokens", "documents"]}, {}, True),
        ({"partition": {"source": "web"}}, {}, False),
        ({"partition": {"source": "web"}}, {"partition": {"source": "web"}}, True),
        ({"partition": {"source": "web"}}, {"partition": {"source": "wiki"}}, False),
        ({"partition": {"bucket": 3}}, {"partition": {"bucket": 3, "lang": "de"}}, True),
        ({"partition": {"day": "2023-05-01"}}, {"partition": {"day": "2023-05-01"}}, True),
        ({"partition": {"day": "2023-05-01"}}, {"partition": {"day": None}}, False),
        ({"partition": {"year": 2023}}, {"partition": {"year": 2023}}, True),
        ({"partition": {"year": "2023"}}, {"partition": {"year": 2023}}, True),
        ({"where": ["year < 2020"]}, {"partition": {"year": 2019}}, True),
        ({"tags": ["v*"]}, {}, False),
        ({"tags": ["v*"]}, {"refs": (PRESENT, "v1")}, True),
        ({"tags": ["v*"]}, {"refs": ("v1",)}, True),
        ({"tags": ["*"]}, {"refs": (PRESENT,)}, False),
        ({"only_tags": ["v*"]}, {"refs": (PRESENT, "v1")}, False),
        ({"only_tags": ["v*"]}, {"refs": ("v1",)}, True),
        ({"only_tags": ["v*"]}, {"refs": ("v1", "work")}, False),
        ({"only_tags": ["*"]}, {"refs": ("v1", "work")}, True),
        ({"older_than_days": 7}, {"days": 6.9}, False),
        ({"older_than_days": 7}, {"days": 7}, True),
        ({"older_than_days": 0}, {"born": None}, False),
        ({"larger_than_mb": 1}, {}, False),
        ({"larger_than_mb": 0.9}, {}, True),
        ({"smaller_than_mb": 1}, {}, False),
        ({"smaller_than_mb": 1.1}, {}, True),
        ({"where": ["n_bytes < 200"]}, {}, False),
        ({"where": ["n_bytes < 200"]}, {"bounds": {"n_bytes": (1, 199)}}, True),
        ({"where": ["n_bytes < 200"]}, {"bounds": {"n_bytes": (1, 200)}}, False),
        ({"where": ["n_bytes <= 200"]}, {"bounds": {"n_bytes": (1, 200)}}, True),
        ({"where": ["n_bytes > 5"]}, {"bounds": {"n_bytes": (5, 9)}}, False),
        ({"where": ["n_bytes >= 5"]}, {"bounds": {"n_bytes": (5, 9)}}, True),
        ({"where": ["n_bytes>=5", "n_bytes<9"]}, {"bounds": {"n_bytes": (5, 9)}}, False),
        ({"where": ["created < 1970-01-02"]}, {"bounds": {"created": (0, 86.4e9 - 1)}}, True),
        ({"where": ["created < 1970-01-02"]}, {"bounds": {"created": (0, 86.4e9)}}, False),
        ({"where": ["created >= 1970-01-01T01:00+01:00"]}, {"bounds": {"created": (0, 9)}}, True),
        ({"where": ["created < 2020-01-01"]}, {}, False),
        ({"where": ["day < 100"]}, {"partition": {"day": 99}}, True),
        ({"where": ["day < 100"]}, {"partition": {"day": "99"}}, False),
    ],
)
def test_rule_holds_only_where_every_row_meets_it(rule, file, expected):
    assert met(rule, held(**file)) is expected


@pytest.mark.parametrize(
    ("rule", "file", "history", "expected"),
    [
        ({"unread_for_days": 30}, {"days": 29}, read(), False),
        ({"unread_for_days": 30}, {"days": 31}, read(), True),
        ({"unread_for_days": 30}, {"days": 400}, read(29), False),
        ({"unread_for_days": 30}, {"days": 400}, read(30), True),
        ({"unread_for_days": 0}, {"born": None}, read(), False),
        ({"unread_for_days": 30}, {"born": None}, read(31), True),
        ({"reads_at_least": 3}, {}, read(0, 1, 29), True),
        ({"reads_at_least": 3}, {}, read(0, 1, 30), False),
        ({"reads_at_least": 3, "within_days": 31}, {}, read(0, 1, 30), True),
        ({"reads_at_least": 1}, {}, read(), False),
        ({"reads_at_most": 0}, {}, read(), True),
        ({"reads_at_most": 0}, {}, read(40), True),
        ({"reads_at_most": 4, "within_days": 1}, {}, read(0, each=5), False),
        ({"reads_at_most": 5, "within_days": 1}, {}, read(0, each=5), True),
    ],
)
def test_rule_about_reads_looks_at_the_days_asked_for(rule, file, history, expected):
    assert met(rule, held(**file), history) is expected


@pytest.mark.parametrize(
    "rule",
    [
        {"to": "nowhere"},
        {"to": "cold", "tables": ["bogus"]},
        {"to": "cold", "where": ["n_bytes = 3"]},
        {"to": "cold", "where": ["n_bytes < many"]},
        {"to": "cold", "where": ["n_bytes < 2020-01-01"]},
        {"to": "cold", "where": ["created < 2020"]},
        {"to": "cold", "where": ["< 3"]},
        {"to": "cold", "reads_at_least": 2, "reads_at_most": 1},
        {"to": "cold", "larger_than_mb": 2, "smaller_than_mb": 2},
        {"to": "cold", "older_than_days": -1},
        {"to": "cold", "within_days": 400},
    ],
)
def test_rule_that_cannot_work_is_refused(rule):
    with pytest.raises(ValidationError):
        settings_with([rule])


@pytest.mark.parametrize(
    "tiers",
    [
        {"hot": {"spill_to": "nowhere"}},
        {"hot": {"spill_to": "hot"}},
        {"hot": {"spill_to": "warm"}, "warm": {"spill_to": "hot"}},
        {"hot": {"capacity_gb": 0}},
        {"hot": {"cost_gb_month": -1}},
    ],
)
def test_tier_whose_limits_cannot_work_is_refused(tiers):
    with pytest.raises(ValidationError):
        settings_with(**tiers)


# plans


def planned(settings, files, history=None):
    moves = plan_moves(settings, files, history or AccessHistory({}, {}), NOW)
    return {move.held.name: (move.source, move.target, move.reason) for move in moves}


def test_plan_first_rule_that_a_file_meets_decides_and_others_stay():
    settings = settings_with(
        [
            {"tables": ["tokens"], "to": "hot"},
            {"older_than_days": 30, "to": "cold"},
            {"older_than_days": 7, "to": "warm"},
        ]
    )
    files = [
        held("young"),
        held("week", days=8),
        held("old", days=31),
        held("there", tier="cold", days=31),
        held("tokens", tier="warm", table="tokens", days=31),
    ]
    assert planned(settings, files) == {
        "week": ("hot", "warm", "rule 3"),
        "old": ("hot", "cold", "rule 2"),
        "tokens": ("warm", "hot", "rule 1"),
    }


def test_plan_without_rules_or_limits_moves_nothing():
    files = [held(days=9999), held("elsewhere", tier="../nowhere")]
    assert planned(settings_with(), files) == {}


def test_plan_a_file_that_is_read_again_is_promoted():
    settings = settings_with([{"reads_at_least": 2, "to": "hot"}])
    history = AccessHistory({"busy": read(0, 3), "quiet": read(1)}, {})
    files = [held("busy", tier="cold"), held("quiet", tier="cold")]
    assert planned(settings, files, history) == {"busy": ("cold", "hot", "rule 1")}


def test_plan_the_coldest_files_spill_until_the_rest_fits():
    settings = settings_with(hot={"capacity_gb": 0.002, "spill_to": "warm"})
    history = AccessHistory({"read": read(1)}, {})
    files = [held("read", days=99), held("new", days=2), held("old", days=50), held("mid", days=9)]
    assert planned(settings, files, history) == {
        "old": ("hot", "warm", SPILL),
        "mid": ("hot", "warm", SPILL),
    }


def test_plan_spills_go_on_down_the_chain():
    settings = settings_with(
        hot={"capacity_gb": 0.001, "spill_to": "warm"},
        warm={"capacity_gb": 0.001, "spill_to": "cold"},
    )
    files = [held("a", days=1), held("b", days=2), held("c", days=3)]
    assert planned(settings, files) == {"b": ("hot", "warm", SPILL), "c": ("hot", "cold", SPILL)}


def test_plan_what_a_rule_brings_in_may_push_colder_files_out():
    settings = settings_with(
        [{"reads_at_least": 1, "to": "hot"}], hot={"capacity_gb": 0.001, "spill_to": "cold"}
    )
    history = AccessHistory({"busy": read(0)}, {})
    files = [held("busy", tier="cold", days=9), held("idle", days=9)]
    assert planned(settings, files, history) == {
        "busy": ("cold", "hot", "rule 1"),
        "idle": ("hot", "cold", SPILL),
    }


def test_plan_a_file_that_would_come_and_spill_stays():
    settings = settings_with(
        [{"older_than_days": 1, "to": "hot"}], hot={"capacity_gb": 0.001, "spill_to": "cold"}
    )
    files = [held("fresh", days=0), held("old", tier="cold", days=5)]
    assert planned(settings, files) == {}


def test_plan_a_full_tier_that_spills_nowhere_is_an_error_that_names_it():
    settings = settings_with(hot={"capacity_gb": 0.001})
    with pytest.raises(MachineError, match=r"hot would hold 2,000,000 bytes.*spill_to"):
        planned(settings, [held("a"), held("b")])
    # The same where the last tier of a chain is full.
    settings = settings_with(
        hot={"capacity_gb": 0.001, "spill_to": "cold"}, cold={"capacity_gb": 0.0005}
    )
    with pytest.raises(MachineError, match="cold would hold 1,000,000 bytes"):
        planned(settings, [held("a"), held("b")])


def test_plan_ages_count_from_the_birth_that_names_carry(tmp_path):
    from strata.storage.layout.file_names import facts_of_name

    name = file_name("shard-1", "zstd-3", NOW - 40 * DAY_MS)
    file = held(name, born=facts_of_name(name).created_ms)
    assert met({"older_than_days": 40}, file)
    assert not met({"older_than_days": 40.1}, file)
