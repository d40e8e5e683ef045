"""Tables on each kind of store."""

import pytest

from tests.support.suites.tables import TableTests


class TestTable(TableTests):
    @pytest.fixture
    def any_options(self, any_folder, request):
        if any_folder.scheme != "s3":
            return {}
        return {"s3://bucket": request.getfixturevalue("s3_options")}
