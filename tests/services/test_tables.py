"""Tables on real servers."""

from __future__ import annotations

from tests.table_suite import TableTests


class TestTableOnServers(TableTests):
    """Ceph and HDFS."""
