"""Moves between a local tier and real servers."""

from __future__ import annotations

from tests.move_suite import MoveTests


class TestMoveOnServers(MoveTests):
    """Ceph and HDFS."""
