import json

import pytest

from strata.jobs.cli import main
from strata.storage.cache.blocks import BlockCache
from strata.storage.contracts.cache_options import CacheOptions


@pytest.fixture
def file(settings, tmp_path):
    path = tmp_path / "web.toml"
    path.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n[[inputs]]\npath = "nothing"\n'
        f'[cache]\nfolder = "{tmp_path}/cache"\ncapacity_gb = 0.001\nblock_mb = 0.125\n'
    )
    return str(path)


def shown(capsys, *words):
    assert main(["storage", "cache", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["cache"][0]


def test_cache_action_shows_and_clears(file, tmp_path, capsys):
    assert shown(capsys, file)["blocks"] == 0
    cache = BlockCache(CacheOptions(str(tmp_path / "cache"), 1_000_000, 131_072))
    for number in range(3):
        cache.put("ab" * 16, number, memoryview(bytes(131_072)))
    found = shown(capsys, file)
    assert found["blocks"] == 3
    assert found["bytes"] == cache.usage().n_bytes
    assert found["capacity_bytes"] == 1_000_000
    assert shown(capsys, file, "--clear")["blocks"] == 3
    assert shown(capsys, file)["blocks"] == 0
    assert main(["storage", "cache", file]) == 0
    assert f"{tmp_path}/cache" in capsys.readouterr().out


def test_cache_action_without_a_cache_names_the_setting(file, tmp_path, capsys):
    plain = tmp_path / "plain.toml"
    plain.write_text((tmp_path / "web.toml").read_text().partition("[cache]")[0])
    assert main(["storage", "cache", str(plain)]) == 2
    assert "[cache]" in capsys.readouterr().err
