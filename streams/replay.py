"""Plays matches as if they were live.

The order within a match is the order of its events in the log, always. Several matches run at once, each on
its own schedule: an event is due at the start of its match plus its event time since then, divided by the
speed. ``send`` may block; then the replay is behind and catches up, and no event is left out.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from streams.identity import identify

Event = dict[str, Any]
EventTime = Literal["now", "original"]


class Clock(Protocol):
    """What replay needs of time."""

    def now_ms(self) -> float:
        """Time now (ms since the Unix epoch); never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """Wall clock as of its making, carried on by the monotonic one, so that it never goes back."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now_ms(self) -> float:
        """Time now (ms since the Unix epoch)."""
        return (self._offset + time.monotonic()) * 1000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass
class Replayed:
    """How far a replay is.

    Attributes:
        matches: Matches whose last event was sent.
        events: Events sent.
        kinds: Events sent, by type.
        live: Match clock (ms) of each match that runs now.
        behind_ms: The longest that an event was sent after it was due (ms); 0 at full speed.
        started_ms: When the first event was sent (ms since the Unix epoch).
        ended_ms: When the last event was sent (ms since the Unix epoch).
    """

    matches: int = 0
    events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    live: dict[str, int] = field(default_factory=dict)
    behind_ms: float = 0.0
    started_ms: float = 0.0
    ended_ms: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds between the first event and the last."""
        return (self.ended_ms - self.started_ms) / 1000

    def as_dict(self) -> dict[str, Any]:
        """The summary for ``--json``."""
        return {
            "matches": self.matches,
            "unfinished": len(self.live),
            "events": self.events,
            "events_by_type": dict(sorted(self.kinds.items())),
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.events / self.seconds, 1) if self.seconds > 0 else None,
            "behind_ms": round(self.behind_ms, 1),
        }


def relabelled(event: Event, label: str) -> Event:
    """An event as one of another playing of its match: ``match_id#label``, with an id of its own."""
    moved = {**event, "match_id": f"{event['match_id']}#{label}"}
    return {**moved, "event_id": identify(moved)} if "event_id" in event else moved


def replay(
    matches: Iterable[list[Event]],
    send: Callable[[Event], None],
    *,
    speed: float = 1.0,
    concurrent: int = 4,
    event_time: EventTime = "now",
    label: str | None = None,
    clock: Clock | None = None,
    progress: Replayed | None = None,
) -> Replayed:
    """Play matches as if live.

    Args:
        matches: The events of each match, in log order. They are not changed.
        send: Takes each event, for example ``Producer.send``.
        speed: Seconds of the match that pass in a second; ``math.inf`` for as fast as ``send`` takes them,
            with the matches that run at once still merged by time.
        concurrent: How many matches run at once; the next begins when one ends.
        event_time: ``now`` puts event times at the moment when an event is due (at full speed: is sent), so
            that ages are true; ``original`` keeps them.
        label: Plays each match as a new one, ``match_id#label``, with new event ids. Without it the ids
            are the original ones, and a platform that has seen them drops them as duplicates.
        clock: Time; the system's by default.
        progress: Is kept up to date while the replay runs.

    Returns:
        ``progress``, or a new one.

    Raises:
        ValueError: ``speed`` or ``concurrent`` is not above 0.

    Example:
        >>> events = [{"match_id": "M", "event_type": "MATCH_START", "event_time": 0, "game_time_ms": 0}]
        >>> sent = []
        >>> replay([events], sent.append, speed=math.inf, event_time="original").events
        1
        >>> sent == events
        True
    """
    if not speed > 0 or concurrent < 1:
        raise ValueError("speed and concurrent must be above 0")
    clock = clock or SystemClock()
    progress = progress or Replayed()
    waiting = iter(matches)
    running: list[tuple[float, int, float, Iterator[Event], Event]] = []
    order = 0
    progress.started_ms = progress.ended_ms = clock.now_ms()

    def begin(at: float) -> None:
        """Start the next match, if there is one, at a time of the schedule."""
        nonlocal order
        for match in waiting:
            if match:
                events = iter(match)
                heapq.heappush(running, (at, order, at - match[0]["event_time"] / pace, events, next(events)))
                order += 1
                return

    at_once = math.isinf(speed)
    pace = 1.0 if at_once else speed
    for _ in range(concurrent):
        begin(progress.started_ms)
    while running:
        due, number, base, events, event = heapq.heappop(running)
        now = clock.now_ms()
        while not at_once and now < due:
            clock.sleep((due - now) / 1000)
            now = clock.now_ms()
        sent = _as_now(event, event_time, now if at_once else base + event["event_time"] / pace)
        if label is not None:
            sent = relabelled(sent, label)
        send(sent)
        _count(progress, sent, clock.now_ms(), 0.0 if at_once else now - due)
        following = next(events, None)
        if following is None:
            progress.matches += 1
            progress.live.pop(sent["match_id"], None)
            begin(due)
        else:
            later = max(due, base + following["event_time"] / pace)
            heapq.heappush(running, (later, number, base, events, following))
    return progress


def _as_now(event: Event, event_time: EventTime, time_ms: float) -> Event:
    return event if event_time == "original" else {**event, "event_time": int(time_ms)}


def _count(progress: Replayed, event: Event, now: float, behind: float) -> None:
    progress.events += 1
    progress.kinds[event["event_type"]] += 1
    progress.live[event["match_id"]] = event["game_time_ms"]
    progress.behind_ms = max(progress.behind_ms, behind)
    progress.ended_ms = now
