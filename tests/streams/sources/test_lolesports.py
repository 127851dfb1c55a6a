"""lolesports windows: totals in frames become events, as far as the totals can tell."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riftstream.errors import SourceError
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources import Options, open_source, sample
from streams.sources.lolesports import LolEsports
from tests.streams.sources.feeds import window

Event = dict[str, Any]

MATCH = next(match for match in sample.matches() if match[0]["match_id"] == sample.COMEBACK)
LAST = MATCH[-1]["game_time_ms"]
START = 1_500_000_000_000
SCHEMA = for_topic("live-matches")


def counted(events: list[Event]) -> Counter[tuple[Any, ...]]:
    """Kills, towers, inhibitors, dragons by kind and Barons of each side; Heralds are not in the feed."""
    found: Counter[tuple[Any, ...]] = Counter()
    for event in events:
        kind = event["event_type"]
        if kind == "CHAMPION_KILL":
            found[event["team"], "kill"] += 1
        elif kind == "BUILDING_KILL":
            found[event["team"], event["building"]] += 1
        elif kind == "ELITE_MONSTER_KILL" and event["monster"] != "RIFTHERALD":
            found[event["team"], event["monster"], event.get("monster_sub")] += 1
    return found


def played(clocks: list[int], size: int = 4) -> tuple[LolEsports, list[Event]]:
    """Frames at some clocks, in windows of some frames."""
    feed = LolEsports(league="NALCS")
    frames = [(clock, clock, "in_game") for clock in clocks]
    events: list[Event] = []
    for at in range(0, len(frames), size):
        events += feed.read(window(MATCH, START, frames[at : at + size]))
    return feed, events


@given(clocks=st.lists(st.integers(0, LAST), max_size=30).map(sorted), size=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_whatever_frames_are_seen_the_counts_are_those_of_the_match(clocks: list[int], size: int) -> None:
    feed, events = played([0, *clocks, LAST], size)
    assert counted(events) == counted(MATCH)
    assert feed.account.balanced
    assert [event["ordinal"] for event in events] == list(range(len(events)))
    seen = [event["game_time_ms"] for event in events]
    assert seen == sorted(seen)
    assert not any(faults(event, SCHEMA) for event in events)


@given(clocks=st.lists(st.integers(1, LAST), min_size=1, max_size=10).map(sorted))
@settings(max_examples=15, deadline=None)
def test_counted_events_have_the_same_ids_whatever_frames_were_seen(clocks: list[int]) -> None:
    _, some = played([0, *clocks, LAST])
    _, others = played([0, LAST])
    kinds = ("MATCH_START", "CHAMPION_KILL", "BUILDING_KILL", "ELITE_MONSTER_KILL")
    ids = [
        {event["event_id"] for event in events if event["event_type"] in kinds} for events in (some, others)
    ]
    assert ids[0] == ids[1]


def test_frame_by_frame_a_lone_kill_names_everybody() -> None:
    _, events = played(list(range(0, LAST + 1, 100)), size=50)
    real = {
        (e["player_id"], e["victim_id"], tuple(sorted(e.get("assist_ids", ()))))
        for e in MATCH
        if e["event_type"] == "CHAMPION_KILL"
    }
    told = [e for e in events if e["event_type"] == "CHAMPION_KILL" and "player_id" in e and "victim_id" in e]
    assert len(told) >= 40
    for event in told:
        who = (event["player_id"], event["victim_id"], tuple(sorted(event.get("assist_ids", ()))))
        assert who in real
        assert event["role"] and event["victim_champion"]


def test_kills_that_totals_cannot_tell_apart_name_nobody() -> None:
    feed, events = played([0, LAST])
    kills = [event for event in events if event["event_type"] == "CHAMPION_KILL"]
    assert all(not {"player_id", "victim_id", "assist_ids"} & event.keys() for event in kills)
    assert feed.account.notes["kills by an unknown killer"] == len(kills)


def test_players_lose_their_tag_and_teams_get_it() -> None:
    _, events = played([0])
    start = events[0]
    assert start["event_type"] == "MATCH_START"
    assert (start["blue_team"], start["red_team"]) == (MATCH[0]["blue_team"], MATCH[0]["red_team"])
    assert start["blue_players"] == MATCH[0]["blue_players"]
    assert start["red_champions"] == MATCH[0]["red_champions"]
    assert (start["patch"], start["league"], start["match_id"]) == ("7.14", "NALCS", "1000")


def test_a_pause_stops_the_match_clock_and_not_event_time() -> None:
    feed = LolEsports()
    frames = [
        (0, 0, "in_game"),
        (60_000, 60_000, "in_game"),
        (70_000, 70_000, "paused"),
        (130_000, 70_000, "paused"),
        (190_000, 70_000, "in_game"),
        (200_000, 80_000, "in_game"),
    ]
    events = feed.read(window(MATCH, START, frames))
    pauses = [
        (e["event_type"], e["game_time_ms"], e["event_time"] - START)
        for e in events
        if e["event_type"].startswith("PAUSE")
    ]
    assert pauses == [("PAUSE_START", 70_000, 70_000), ("PAUSE_END", 70_000, 190_000)]
    assert (events[-1]["game_time_ms"], events[-1]["event_time"] - START) == (80_000, 200_000)


def test_old_frames_and_repeated_windows_give_nothing_again() -> None:
    feed = LolEsports()
    frames = [(clock, clock, "in_game") for clock in range(0, 1_200_000, 60_000)]
    first = feed.read(window(MATCH, START, frames))
    assert first
    assert feed.read(window(MATCH, START, frames)) == []
    assert feed.account.files["frames"].left_out == len(frames) - 1
    assert feed.account.balanced


def test_a_total_that_falls_for_a_frame_is_not_counted_twice() -> None:
    feed = LolEsports()
    frames = [(0, 0, "in_game"), (1_800_000, 1_800_000, "in_game")]
    events = feed.read(window(MATCH, START, frames))
    broken = window(MATCH, START, [(1_801_000, 60_000, "in_game"), (1_802_000, 1_800_000, "in_game")])
    events += feed.read(broken)
    until = [event for event in MATCH if event["game_time_ms"] <= 1_800_000]
    assert counted(events) == counted(until)


def test_a_finished_match_has_no_end_until_somebody_names_the_winner() -> None:
    feed = LolEsports()
    events = feed.read(window(MATCH, START, [(0, 0, "in_game"), (LAST, LAST, "finished")]))
    assert feed.finished
    assert not [event for event in events if event["event_type"] == "MATCH_END"]
    end = feed.end("red")
    assert (end["winner"], end["duration_ms"], end["event_time"]) == ("red", LAST, START + LAST)
    assert feed.account.balanced
    with pytest.raises(SourceError):
        feed.end("nobody")


def test_windows_are_asked_one_after_the_other_and_never_too_new() -> None:
    feed = LolEsports()
    now = datetime.fromtimestamp(START / 1000, UTC) + timedelta(minutes=30)
    assert feed.parameters(now) == {}
    feed.read(window(MATCH, START, [(0, 0, "in_game"), (13_000, 13_000, "in_game")]))
    assert feed.parameters(now) == {"startingTime": "2017-07-14T02:40:10Z"}
    assert feed.parameters(now) == {"startingTime": "2017-07-14T02:40:20Z"}
    feed.read(window(MATCH, START, [(61_000, 61_000, "in_game")]))
    assert feed.parameters(now) == {"startingTime": "2017-07-14T02:41:00Z"}
    assert feed.parameters(datetime(2017, 7, 14, 2, 41, 30, tzinfo=UTC)) is None


@pytest.mark.parametrize("answer", [None, [], {}, {"frames": []}, {"frames": 1, "gameMetadata": {}}])
def test_another_answer_is_an_error(answer: Any) -> None:
    with pytest.raises(SourceError, match="livestats window"):
        LolEsports().read(answer)


def test_a_broken_frame_is_rejected_and_the_next_is_read() -> None:
    answer = window(MATCH, START, [(0, 0, "in_game"), (60_000, 60_000, "in_game")])
    del answer["frames"][0]["blueTeam"]["towers"]
    feed = LolEsports()
    assert feed.read(answer)
    assert feed.account.files["frames"].rejected == Counter({"no time, state or totals": 1})
    assert feed.account.balanced


def test_the_real_window_begins_a_match(data: Path) -> None:
    source = open_source("lolesports", str(data / "live-samples" / "lolesports-window.json"), Options())
    (events,) = source.matches()
    assert Counter(event["event_type"] for event in events) == {
        "MATCH_START": 1,
        "TEAM_GOLD": 1,
        "PLAYER_STATS": 10,
    }
    assert events[0]["blue_players"] == ["Impact", "Inspired", "jojopyun", "Danny", "Vulcan"]
    assert (events[0]["blue_team"], events[0]["red_team"], events[0]["patch"]) == ("EG", "TSM", "12.2")
    assert events[0]["event_time"] == 1_644_097_096_572
    assert not any(faults(event, SCHEMA) for event in events)
    assert source.account.balanced
