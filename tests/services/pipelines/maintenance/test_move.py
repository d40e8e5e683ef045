"""Moves between a local tier and real servers."""

from __future__ import annotations

from tests.support.suites.moves import MoveTests


class TestMoveOnServers(MoveTests):
    """Ceph and HDFS."""
