"""What tests of single parts share."""

from __future__ import annotations

import pytest

from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from tests.support.readers import Reader


@pytest.fixture
def reader(store: Store, folder: Url) -> Reader:
    """Reads what it is given, from an empty local folder."""
    return Reader(store, folder / "inputs")
