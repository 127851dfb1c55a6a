"""Replay: order kept, paced by a clock, event times as asked; no test sleeps."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.identity import identify
from streams.replay import Replayed, SystemClock, relabelled, replay
from streams.sources import sample

Event = dict[str, Any]
Match = list[Event]

NOW = 1_700_000_000_000.0


class HandClock:
    """A clock that only moves when somebody waits, or when sending takes time."""

    def __init__(self) -> None:
        self.now = NOW
        self.waits = 0

    def now_ms(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.waits += 1
        self.now += seconds * 1000


def made(match: str, times: list[int], start: int = 0) -> Match:
    """Events of a match at some event times after a start."""
    return [
        {
            "event_id": f"{match}-{number}",
            "match_id": match,
            "event_type": "PAUSE_START",
            "event_time": start + time,
            "game_time_ms": max(time, 0),
            "ordinal": number,
            "source": "test",
        }
        for number, time in enumerate(times)
    ]


def played(matches: list[Match], **options: Any) -> tuple[list[tuple[float, Event]], HandClock, Replayed]:
    """What was sent, and when."""
    clock = HandClock()
    sent: list[tuple[float, Event]] = []
    progress = replay(matches, lambda event: sent.append((clock.now, event)), clock=clock, **options)
    return sent, clock, progress


MATCHES = st.lists(
    st.tuples(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=8), st.integers(0, 10**12)),
    max_size=6,
).map(lambda drawn: [made(f"M{number}", times, start) for number, (times, start) in enumerate(drawn)])
SPEEDS = st.one_of(st.just(math.inf), st.floats(0.01, 10_000))


@given(
    matches=MATCHES,
    speed=SPEEDS,
    concurrent=st.integers(1, 8),
    event_time=st.sampled_from(["now", "original"]),
)
@settings(max_examples=200, deadline=None)
def test_every_event_is_sent_once_and_in_the_order_of_its_match(
    matches: list[Match], speed: float, concurrent: int, event_time: str
) -> None:
    sent, _, progress = played(matches, speed=speed, concurrent=concurrent, event_time=event_time)
    by_match: dict[str, Match] = defaultdict(list)
    for _, event in sent:
        by_match[event["match_id"]].append(event)
    for match in matches:
        got = by_match.pop(match[0]["match_id"])
        assert [event["event_id"] for event in got] == [event["event_id"] for event in match]
        if event_time == "original":
            assert got == match
    assert not by_match
    assert progress.matches == len(matches)
    assert progress.events == sum(map(len, matches)) == progress.kinds.total()
    assert not progress.live


@given(matches=MATCHES, concurrent=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_never_more_matches_run_at_once_than_asked(matches: list[Match], concurrent: int) -> None:
    progress = Replayed()
    most = 0

    def send(_: Event) -> None:
        nonlocal most
        most = max(most, len(progress.live))

    replay(matches, send, speed=math.inf, concurrent=concurrent, clock=HandClock(), progress=progress)
    assert most <= concurrent


def test_events_are_sent_when_they_are_due_at_the_speed_asked() -> None:
    sent, _, _ = played([made("A", [0, 1_000, 4_000], start=50)], speed=2.0)
    assert [when - NOW for when, _ in sent] == [0, 500, 2_000]
    assert [event["event_time"] - NOW for _, event in sent] == [0, 500, 2_000]
    assert [event["game_time_ms"] for _, event in sent] == [0, 1_000, 4_000]


def test_matches_that_run_at_once_are_merged_by_time_and_the_next_begins_when_one_ends() -> None:
    matches = [made("A", [0, 3_000]), made("B", [0, 1_000], start=10**9), made("C", [0, 500])]
    sent, _, _ = played(matches, speed=1.0, concurrent=2)
    assert [(event["event_id"], when - NOW) for when, event in sent] == [
        ("A-0", 0),
        ("B-0", 0),
        ("B-1", 1_000),
        ("C-0", 1_000),
        ("C-1", 1_500),
        ("A-1", 3_000),
    ]


def test_at_full_speed_nothing_waits_and_matches_are_still_merged() -> None:
    matches = [made("A", [0, 3_000]), made("B", [0, 1_000])]
    sent, clock, progress = played(matches, speed=math.inf, concurrent=2)
    assert clock.waits == 0
    assert [event["event_id"] for _, event in sent] == ["A-0", "B-0", "B-1", "A-1"]
    assert {event["event_time"] for _, event in sent} == {int(NOW)}
    assert progress.behind_ms == 0


def test_a_slow_receiver_makes_the_replay_late_and_loses_nothing() -> None:
    clock = HandClock()
    sent: list[tuple[float, Event]] = []

    def slow(event: Event) -> None:
        clock.now += 700
        sent.append((clock.now - NOW, event))

    progress = replay([made("A", [0, 100, 200, 5_000])], slow, speed=1.0, clock=clock)
    assert [when for when, _ in sent] == [700, 1_400, 2_100, 5_700]
    # The event time is when the event was due, so the wait shows in its age.
    assert [event["event_time"] - NOW for _, event in sent] == [0, 100, 200, 5_000]
    assert progress.behind_ms == 1_200


def test_a_late_event_stays_late() -> None:
    sent, _, _ = played([made("A", [0, 5_000, 2_000, 6_000])], speed=1.0)
    assert [when - NOW for when, _ in sent] == [0, 5_000, 5_000, 6_000]
    assert [event["event_time"] - NOW for _, event in sent] == [0, 5_000, 2_000, 6_000]


def test_the_input_is_not_changed() -> None:
    match = made("A", [0, 1_000])
    before = [dict(event) for event in match]
    played([match], label="x")
    assert match == before


def test_a_label_makes_new_matches_with_ids_of_their_own() -> None:
    matches = sample.matches()[:2]
    sent, _, _ = played(matches, speed=math.inf, label="evening")
    originals = {event["event_id"] for match in matches for event in match}
    for _, event in sent:
        assert event["match_id"].endswith("#evening")
        assert event["event_id"] == identify(event)
        assert event["event_id"] not in originals
    again, _, _ = played(matches, speed=math.inf, label="evening")
    assert [event["event_id"] for _, event in again] == [event["event_id"] for _, event in sent]
    assert relabelled(matches[0][0], "a")["event_id"] != relabelled(matches[0][0], "b")["event_id"]


@pytest.mark.parametrize(("speed", "concurrent"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_impossible_options_are_refused(speed: float, concurrent: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        replay([], lambda _: None, speed=speed, concurrent=concurrent)


def test_what_send_raises_ends_the_replay_and_progress_tells_how_far_it_came() -> None:
    progress = Replayed()
    seen: list[Event] = []

    def send(event: Event) -> None:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(event)

    with pytest.raises(KeyboardInterrupt):
        replay(sample.matches(), send, speed=math.inf, clock=HandClock(), progress=progress)
    assert progress.events == 3
    assert progress.as_dict()["unfinished"] > 0


def test_the_system_clock_is_wall_time_and_never_goes_back() -> None:
    clock = SystemClock()
    times = [clock.now_ms() for _ in range(1_000)]
    assert times == sorted(times)
    assert times[0] > NOW
