"""Retrying a request whose failure is transient."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from strata.errors import TransientError
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.transfer.metering import Event, record

__all__ = ["RetryBudget", "retried"]

Result = TypeVar("Result")


class RetryBudget:
    """The remaining attempts of one request."""

    def __init__(self, policy: TransferPolicy) -> None:
        self._policy = policy
        self._start = time.monotonic()
        self._failed = 0

    def after(self, error: TransientError) -> None:
        """Wait before the next attempt.

        The pause is random between zero and a bound that doubles ("full jitter", Brooker,
        Exponential Backoff And Jitter, 2015), so that workers that failed together do not retry
        together.

        Raises:
            TransientError: no attempt is left.
        """
        self._failed += 1
        bound = self._policy.first_pause * 2 ** (self._failed - 1)
        pause = random.uniform(0, min(bound, self._policy.longest_pause))
        spent = time.monotonic() - self._start
        if self._failed >= self._policy.attempts or spent + pause > self._policy.retry_seconds:
            raise TransientError(
                f"{error.reason}, at attempt {self._failed} after {spent:.1f} s", hint=error.hint
            ) from error
        record(Event.RETRY)
        time.sleep(pause)

    def reset(self) -> None:
        """Forget failed attempts, because the last one made progress; the time limit stays."""
        self._failed = 0


def retried(policy: TransferPolicy, call: Callable[[], Result]) -> Result:
    """The result of ``call``, which must be harmless to repeat.

    Raises:
        TransientError: the last attempt failed too.
    """
    budget = RetryBudget(policy)
    while True:
        try:
            return call()
        except TransientError as error:
            budget.after(error)
