"""Tables on real servers."""

from __future__ import annotations

from tests.support.suites.tables import TableTests


class TestTableOnServers(TableTests):
    """Ceph and HDFS."""
