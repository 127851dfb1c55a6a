"""A circuit breaker: what is away is asked now and then instead of by every request."""

from __future__ import annotations

import threading
import time

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"


class Circuit:
    """Opens after some failures in a row; then lets one trial through at a time, longer and longer apart.

    Safe to use from several threads.

    Args:
        failures: Failures in a row that open it.
        pause: Seconds until the first trial; doubled by each trial that fails.
        longest: Most seconds between trials.
    """

    def __init__(self, failures: int = 3, pause: float = 0.25, longest: float = 5.0) -> None:
        self._allowed = failures
        self._first_pause = pause
        self._longest = longest
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = pause
        self._next_trial = 0.0

    @property
    def state(self) -> str:
        """``closed`` (all go through), ``open`` (none), or ``half-open`` (a trial is due or on its way)."""
        with self._lock:
            if self._failures < self._allowed:
                return CLOSED
            return OPEN if time.monotonic() < self._next_trial else HALF_OPEN

    def allows(self) -> bool:
        """Whether to ask now. Who is told yes must say how it went."""
        with self._lock:
            if self._failures < self._allowed:
                return True
            now = time.monotonic()
            if now < self._next_trial:
                return False
            self._next_trial = now + self._pause
            return True

    def succeeded(self) -> None:
        """It answered."""
        with self._lock:
            self._failures = 0
            self._pause = self._first_pause

    def failed(self) -> None:
        """It did not answer."""
        with self._lock:
            self._failures += 1
            if self._failures < self._allowed:
                return
            self._next_trial = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, self._longest)
