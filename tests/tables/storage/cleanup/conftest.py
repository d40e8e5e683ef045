"""A corpus with the tiers hot and cold, and files for its table `clusters`."""

import pytest

from strata.storage.tables.claim import open_to_write
from strata.storage.writing.tiers import tiers_of
from tests.support.processes.drivers import write


@pytest.fixture
def settings(settings, tmp_path):
    tiers = {
        "hot": {"url": str(tmp_path / "warehouse" / "hot")},
        "cold": {"url": str(tmp_path / "cold"), "codec": "zstd", "level": 9},
    }
    return settings.model_validate(settings.model_dump() | {"tiers": tiers})


@pytest.fixture
def corpus(settings):
    with open_to_write(settings) as corpus:
        yield corpus


@pytest.fixture
def tiers(settings):
    return tiers_of(settings)


@pytest.fixture
def make(corpus, settings):
    def make(*ids, tier="hot"):
        return write(corpus, settings, tier, list(ids))

    return make


@pytest.fixture
def table(corpus):
    return corpus.table("clusters")
