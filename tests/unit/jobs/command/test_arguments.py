import json

import pytest

from strata.jobs.cli import main


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["run", "c.toml", "--set", "--dry-run"], "--dry-run stands where --set wants its value;"),
        (["run", "c.toml", "--set", "--dry_run"], "did you mean --dry-run?"),
        (["run", "c.toml", "--set", "a=1", "--drry-run"], "did you mean --dry-run?"),
        (["run", "c.toml", "--set", "a=1", "--zzz=3"], "--zzz=3 cannot be used"),
        (["run", "--set", "--zzz", "c.toml"], "--zzz stands where --set wants its value"),
        (["retract", "c.toml", "--id", "--resume"], "--resume stands where --id wants its value"),
        (["storage", "gc", "c.toml", "--set", "--json"], "--json stands where --set wants"),
    ],
)
def test_flag_that_is_unknown_or_in_the_place_of_a_value_is_named(capsys, argv, said):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert said in json.loads(capsys.readouterr().err.splitlines()[-1])["hint"]
