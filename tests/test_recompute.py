"""The oracle itself, on events made by hand whose answers can be counted on the fingers."""

from __future__ import annotations

from typing import Any

import pytest

from streams.schemas import for_topic
from tests import recompute

MINUTE = 60_000
Event = dict[str, Any]

NOTHING: Event = {field.name: None for field in for_topic("live-matches").fields}


def match(*events: Event) -> list[Event]:
    """Whole MatchEvents in log order; event time runs with the clock unless an event tells its own."""
    return [
        NOTHING
        | {"match_id": "m", "event_id": f"e{n}", "source": "test", "event_time": event["game_time_ms"]}
        | {"source_partition": 3, "source_offset": 100 + n, "ordinal": n}
        | event
        for n, event in enumerate(events)
    ]


def start(season: str | None = "2016 Spring", **more: Any) -> Event:
    return {"event_type": "MATCH_START", "game_time_ms": 0, "season": season, **more}


def tick(clock: int) -> Event:
    return {"event_type": "LEVEL_UP", "game_time_ms": clock}


def kill(clock: int, team: str | None, **more: Any) -> Event:
    return {"event_type": "CHAMPION_KILL", "game_time_ms": clock, "team": team, **more}


def building(clock: int, team: str | None, kind: str = "TOWER") -> Event:
    return {"event_type": "BUILDING_KILL", "game_time_ms": clock, "team": team, "building": kind}


def monster(clock: int, team: str | None, kind: str, sub: str | None = None) -> Event:
    return {
        "event_type": "ELITE_MONSTER_KILL",
        "game_time_ms": clock,
        "team": team,
        "monster": kind,
        "monster_sub": sub,
    }


def gold(clock: int, blue: int, red: int) -> Event:
    return {"event_type": "TEAM_GOLD", "game_time_ms": clock, "blue_gold": blue, "red_gold": red}


def last(*events: Event) -> Event:
    return recompute.match_features(match(*events))[-1]


def assert_holds(record: Event, **expected: Any) -> None:
    assert {name: record[name] for name in expected} == expected


def test_every_deterministic_field_of_match_features_is_recomputed() -> None:
    expected = {field.name for field in for_topic("match-features").fields} - set(recompute.NOT_RECOMPUTED)
    assert set(last(start())) == expected


def test_every_field_of_match_result_is_recomputed() -> None:
    result = recompute.match_result(match({"event_type": "REMAKE", "game_time_ms": 5}))
    assert result is not None
    assert set(result) == {field.name for field in for_topic("match-results").fields}


def test_start_holds_nothing_but_the_frame() -> None:
    record = last(start(league="LCK", blue_team="SKT", red_team="KT"))
    assert_holds(
        record,
        match_id="m",
        event_id="e0",
        event_type="MATCH_START",
        source="test",
        league="LCK",
        season="2016 Spring",
        blue_team="SKT",
        red_team="KT",
        source_partition=3,
        source_offset=100,
        clock_ms=0,
        events=1,
        kills_diff=0,
        gold_blue=None,
        gold_diff_5m=None,
        gold_age_ms=None,
        since_kill_ms=None,
        since_baron_ms=None,
        first_blood_blue=0,
        first_blood_red=0,
        towers_alive_blue=11,
        towers_alive_red=11,
    )


def test_frame_keeps_the_newest_value_told_and_teams_come_from_match_start_only() -> None:
    record = last(
        start(league="LCK", blue_team="SKT"),
        kill(1, "blue", blue_team="XXX"),
        start(season=None, red_team="KT"),
        {**tick(2), "league": "MSI", "source": None},
    )
    assert_holds(
        record, league="MSI", season="2016 Spring", blue_team="SKT", red_team="KT", source=None, events=4
    )


def test_kills_count_by_side_and_an_execution_counts_for_neither() -> None:
    record = last(kill(1_000, None), kill(2_000, "red"), kill(3_000, "blue"), kill(4_000, "blue"))
    assert_holds(record, kills_blue=2, kills_red=1, kills_diff=1, first_blood_red=1, first_blood_blue=0)
    assert_holds(last(kill(1_000, None), tick(2_000)), since_kill_ms=None, first_blood_blue=0)


@pytest.mark.parametrize(("minutes", "blue", "red"), [(1, 1, 0), (3, 2, 1), (5, 3, 1)])
def test_rolling_windows_leave_out_their_start_and_hold_their_end(minutes: int, blue: int, red: int) -> None:
    now = 10 * MINUTE
    events = [
        event
        for kind in (kill, building)
        for event in (
            kind(now - 5 * MINUTE, "red"),
            kind(now - 5 * MINUTE + 1, "blue"),
            kind(now - 3 * MINUTE + 1, "red"),
            kind(now - 3 * MINUTE + 1, "blue"),
            kind(now, "blue"),
        )
    ]
    record = last(*sorted(events, key=lambda event: event["game_time_ms"]))
    for name in ("kills", "towers"):
        assert record[f"{name}_blue_{minutes}m"] == blue
        assert record[f"{name}_red_{minutes}m"] == red
        assert record[f"{name}_diff_{minutes}m"] == blue - red


def test_window_start_is_exclusive_to_the_millisecond() -> None:
    assert last(kill(0, "blue"), tick(MINUTE))["kills_blue_1m"] == 0
    assert last(kill(1, "blue"), tick(MINUTE))["kills_blue_1m"] == 1


def test_event_out_of_order_counts_at_its_own_clock_and_moves_no_clock_back() -> None:
    record = last(kill(5 * MINUTE, "blue"), kill(3 * MINUTE, "red"))
    assert_holds(
        record,
        game_time_ms=3 * MINUTE,
        clock_ms=5 * MINUTE,
        out_of_order_events=1,
        kills_red=1,
        kills_red_1m=0,
        kills_red_3m=1,
        since_kill_ms=0,
        first_blood_blue=1,
        first_blood_red=0,
    )


def test_late_means_more_than_five_seconds_behind_in_event_time() -> None:
    events = match(tick(0), tick(1), tick(2), tick(3))
    for event, time in zip(events, (100_000, 95_000, 94_999, 100_000), strict=True):
        event["event_time"] = time
    assert [record["late_events"] for record in recompute.match_features(events)] == [0, 0, 1, 1]
    assert recompute.match_features(events)[-1]["out_of_order_events"] == 0


def test_pauses_count_when_they_begin() -> None:
    record = last(
        {"event_type": "PAUSE_START", "game_time_ms": 9},
        {"event_type": "PAUSE_END", "game_time_ms": 9},
        {"event_type": "PAUSE_START", "game_time_ms": 9},
    )
    assert record["pauses"] == 2


def test_buildings_are_told_apart_and_count_for_their_destroyer() -> None:
    record = last(
        building(1, "red"), building(2, "blue"), building(3, "blue"), building(4, "blue", "INHIBITOR")
    )
    assert_holds(
        record,
        towers_blue=2,
        towers_red=1,
        inhibitors_blue=1,
        inhibitors_red=0,
        first_tower_red=1,
        first_tower_blue=0,
        towers_alive_blue=10,
        towers_alive_red=9,
        inhibitors_down_red=1,
        inhibitors_down_blue=0,
        since_tower_ms=1,
    )


def test_towers_alive_is_never_negative() -> None:
    assert last(*[building(n, "blue") for n in range(12)])["towers_alive_red"] == 0


def test_inhibitor_stands_again_after_five_minutes() -> None:
    fallen = building(20 * MINUTE, "blue", "INHIBITOR")
    assert last(fallen, tick(25 * MINUTE - 1))["inhibitors_down_red"] == 1
    assert last(fallen, tick(25 * MINUTE))["inhibitors_down_red"] == 0


def test_dragons_by_kind_with_elder_apart_and_dragons_without_kind_counted() -> None:
    record = last(
        monster(1, "blue", "DRAGON", "AIR_DRAGON"),
        monster(2, "blue", "DRAGON"),
        monster(3, "red", "DRAGON", "FIRE_DRAGON"),
        monster(4, "red", "DRAGON", "ELDER_DRAGON"),
        monster(5, "blue", "RIFTHERALD"),
        monster(6, "red", "BARON_NASHOR"),
    )
    assert_holds(
        record,
        dragons_blue=2,
        dragons_red=1,
        air_dragons_blue=1,
        fire_dragons_red=1,
        elder_dragons_red=1,
        elder_dragons_diff=-1,
        heralds_blue=1,
        barons_red=1,
        since_dragon_ms=2,
        since_baron_ms=0,
    )


def test_baron_power_lasts_three_minutes() -> None:
    slain = monster(25 * MINUTE, "red", "BARON_NASHOR")
    assert_holds(last(slain, tick(28 * MINUTE - 1)), baron_power_red=1, baron_power_blue=0)
    assert_holds(last(slain, tick(28 * MINUTE)), baron_power_red=0)


def test_gold_is_the_newest_snapshot_by_match_clock_then_by_log() -> None:
    snapshots = (gold(2 * MINUTE, 20, 21), gold(4 * MINUTE, 40, 30), gold(3 * MINUTE, 30, 99))
    assert_holds(
        last(*snapshots, tick(4 * MINUTE + 7)),
        gold_blue=40,
        gold_red=30,
        gold_diff=10,
        gold_age_ms=7,
        gold_blue_1m=10,
        gold_red_1m=-69,
        gold_diff_1m=79,
        gold_blue_3m=None,
        gold_diff_3m=None,
    )
    assert last(*snapshots, gold(4 * MINUTE, 41, 30))["gold_blue"] == 41


def test_gold_deltas_look_back_from_the_clock_and_not_from_the_snapshot() -> None:
    snapshots = [gold(minute * MINUTE, 100 * minute, 0) for minute in range(8)]
    assert_holds(last(*snapshots), gold_blue_1m=100, gold_blue_3m=300, gold_blue_5m=500)
    assert_holds(last(*snapshots, tick(7 * MINUTE + 30_000)), gold_blue_1m=100, gold_blue_5m=500)
    assert_holds(last(*snapshots, tick(9 * MINUTE)), gold_blue_1m=0, gold_blue_5m=300)


@pytest.mark.parametrize(
    ("season", "clock", "dragon", "herald", "baron"),
    [
        ("2015 Summer", 149_999, 0, 0, 0),
        ("2015 Summer", 150_000, 1, 0, 0),
        ("2015 Summer", 7 * MINUTE, 1, 0, 0),
        ("2016 Spring", 6 * MINUTE - 1, 1, 0, 0),
        ("2016 Spring", 6 * MINUTE, 1, 1, 0),
        ("2018 Summer", 6 * MINUTE, 1, 1, 0),
        ("2019 Spring", 299_999, 0, 0, 0),
        ("2019 Spring", 300_000, 1, 0, 0),
        ("2019 Spring", 8 * MINUTE, 1, 1, 0),
        (None, 7 * MINUTE, 1, 0, 0),
        ("Spring", 8 * MINUTE, 1, 1, 0),
        (None, 4 * MINUTE, 0, 0, 0),
        ("2016 Spring", 1_184_999, 1, 1, 0),
        ("2016 Spring", 1_185_000, 1, 0, 0),
        ("2016 Spring", 20 * MINUTE, 1, 0, 1),
    ],
)
def test_objectives_spawn_by_season(
    season: str | None, clock: int, dragon: int, herald: int, baron: int
) -> None:
    assert_holds(
        last(start(season), tick(clock)), dragon_alive=dragon, herald_alive=herald, baron_alive=baron
    )


@pytest.mark.parametrize(("season", "dragon_back", "baron_back"), [("2017 Spring", 6, 7), (None, 5, 6)])
def test_objectives_respawn_by_season(season: str | None, dragon_back: int, baron_back: int) -> None:
    slain = (
        start(season),
        monster(22 * MINUTE, "blue", "DRAGON", "ELDER_DRAGON"),
        monster(22 * MINUTE, "red", "BARON_NASHOR"),
    )
    assert last(*slain, tick((22 + dragon_back) * MINUTE - 1))["dragon_alive"] == 0
    assert last(*slain, tick((22 + dragon_back) * MINUTE))["dragon_alive"] == 1
    assert last(*slain, tick((22 + baron_back) * MINUTE - 1))["baron_alive"] == 0
    assert last(*slain, tick((22 + baron_back) * MINUTE))["baron_alive"] == 1


def test_herald_is_gone_once_killed() -> None:
    slain = (start(), monster(8 * MINUTE, "red", "RIFTHERALD"))
    assert last(*slain, tick(15 * MINUTE))["herald_alive"] == 0


def test_result_is_the_state_at_the_first_end_and_ignores_what_follows() -> None:
    events = match(
        start(league="LCK", phase="Playoffs", map_number=2, blue_team="SKT", red_team="KT"),
        kill(MINUTE, "blue"),
        gold(MINUTE, 500, 400),
        {"event_type": "MATCH_END", "game_time_ms": 99, "winner": "red", "duration_ms": 98},
        kill(2 * MINUTE, "blue"),
    )
    result = recompute.match_result(events)
    assert result is not None
    assert_holds(
        result,
        status="completed",
        winner="red",
        duration_ms=98,
        game_time_ms=99,
        event_id="e3",
        kills_blue=1,
        gold_blue=500,
        events=4,
        phase="Playoffs",
        map_number=2,
        league="LCK",
        blue_team="SKT",
        source_offset=103,
    )


def test_remake_has_no_winner_and_an_unfinished_match_no_result() -> None:
    remade = recompute.match_result(
        match(start(), {"event_type": "REMAKE", "game_time_ms": 60, "winner": "red"})
    )
    assert remade is not None
    assert_holds(remade, status="remade", winner=None)
    assert recompute.match_result(match(start(), tick(5))) is None


def test_player_windows_sum_parts_by_five_seconds_of_event_time() -> None:
    fight = kill(61_000, "blue", player_id="a", victim_id="v", assist_ids=["b", "c"])
    events = match(
        fight,
        kill(64_999, "red", player_id="v", victim_id="a", assist_ids=None),
        kill(65_000, "blue", player_id="a", victim_id="w", assist_ids=[]),
        {"event_type": "WARD_PLACED", "game_time_ms": 64_000, "team": "blue", "player_id": "a"},
        {"event_type": "WARD_KILL", "game_time_ms": 64_000, "team": "blue", "player_id": "a"},
        {"event_type": "ITEM_PURCHASED", "game_time_ms": 64_000, "team": "blue", "player_id": "b"},
        {
            "event_type": "PLAYER_STATS",
            "game_time_ms": 63_000,
            "team": "blue",
            "player_id": "b",
            "gold": 700,
            "creep_score": 12,
            "level": 2,
        },
    )
    windows = recompute.player_windows(events)
    assert set(windows) == {
        ("a", "m", 60_000),
        ("v", "m", 60_000),
        ("b", "m", 60_000),
        ("c", "m", 60_000),
        ("a", "m", 65_000),
        ("w", "m", 65_000),
    }
    assert windows[("a", "m", 60_000)] == {
        "window_end": 65_000,
        "events": 4,
        "kills": 1,
        "deaths": 1,
        "assists": 0,
        "items": 0,
        "wards_placed": 1,
        "wards_killed": 1,
        "gold": None,
        "creep_score": None,
        "level": None,
        "game_time_ms": 64_999,
        "event_time": 64_999,
        "match_kills": 2,
        "match_deaths": 1,
        "match_assists": 0,
    }
    assert_holds(
        windows[("b", "m", 60_000)],
        events=3,
        assists=1,
        items=1,
        gold=700,
        creep_score=12,
        level=2,
        event_time=64_000,
    )
    assert_holds(windows[("v", "m", 60_000)], events=2, kills=1, deaths=1)


def test_nobody_has_no_window() -> None:
    assert recompute.player_windows(match(kill(5, None, victim_id="", assist_ids=["", "b"]))).keys() == {
        ("b", "m", 0)
    }
