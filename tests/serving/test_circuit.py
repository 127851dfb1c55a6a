"""The circuit breaker, without anything behind it."""

from __future__ import annotations

import time

import pytest

from serving.circuit import CLOSED, HALF_OPEN, OPEN, Circuit


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def opened(failures: int = 3) -> Circuit:
    circuit = Circuit(failures=failures, pause=1.0, longest=3.0)
    for _ in range(failures):
        assert circuit.allows()
        circuit.failed()
    return circuit


def test_failures_in_a_row_open_it(clock: Clock) -> None:
    circuit = Circuit(failures=2)
    circuit.failed()
    circuit.succeeded()
    circuit.failed()
    assert circuit.state == CLOSED and circuit.allows()
    circuit.failed()
    assert circuit.state == OPEN and not circuit.allows()


def test_one_trial_at_a_time_goes_through(clock: Clock) -> None:
    circuit = opened()
    clock.now += 1.0
    assert circuit.state == HALF_OPEN
    assert [circuit.allows() for _ in range(3)] == [True, False, False]
    circuit.succeeded()
    assert circuit.state == CLOSED


def test_trials_that_fail_are_longer_and_longer_apart(clock: Clock) -> None:
    circuit = opened()
    pauses = []
    for _ in range(4):
        begun = clock.now
        while not circuit.allows():
            clock.now += 0.5
        circuit.failed()
        pauses.append(clock.now - begun)
    assert pauses == [1.0, 2.0, 3.0, 3.0]
