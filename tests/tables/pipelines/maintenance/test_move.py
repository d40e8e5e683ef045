"""Moves between a local tier and each kind of store."""

import pytest

from tests.support.suites.moves import MoveTests


class TestMove(MoveTests):
    @pytest.fixture
    def any_options(self, any_folder, request):
        if any_folder.scheme != "s3":
            return {}
        return {"s3://bucket": request.getfixturevalue("s3_options")}
