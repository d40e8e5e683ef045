"""Several addresses of one store, used in turn; one that fails is skipped for a while."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from strata.storage.transfer.metering import Event, record

__all__ = ["endpoint_failed", "next_endpoint"]

# Long enough for a gateway to restart, short enough to use it again soon.
REST_SECONDS = 30.0

_resting: dict[str, float] = {}
_turn = itertools.count()


def next_endpoint(endpoints: Sequence[str]) -> str | None:
    """The endpoint whose turn it is; None where the store has only its usual one.

    When all are resting, the one that has rested longest is tried.
    """
    if not endpoints:
        return None
    now = time.monotonic()
    awake = [each for each in endpoints if _resting.get(each, 0.0) <= now]
    if not awake:
        return min(endpoints, key=lambda each: _resting[each])
    return awake[next(_turn) % len(awake)]


def endpoint_failed(endpoint: str | None, endpoints: Sequence[str]) -> None:
    """Let an endpoint rest, so that the next request goes to another one."""
    if endpoint is None:
        return
    _resting[endpoint] = time.monotonic() + REST_SECONDS
    if len(endpoints) > 1:
        record(Event.FAILOVER)
