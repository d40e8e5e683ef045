"""A corpus with the tiers hot and cold."""

import pytest

from strata.storage.tables.claim import open_to_write
from tests.support.corpora.tiered import tiered


@pytest.fixture
def settings(tmp_path):
    return tiered(str(tmp_path))


@pytest.fixture
def corpus(settings):
    with open_to_write(settings) as corpus:
        yield corpus
