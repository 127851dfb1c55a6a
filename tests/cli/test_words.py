from __future__ import annotations

import pytest

from riftstream.cli import words
from riftstream.errors import RiftError
from tests.cli.records import event

TOWER = {"event_type": "BUILDING_KILL", "building": "TOWER"}


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "00:00"), (1_652_000, "27:32"), (6_000_000, "100:00"), (-1500, "-00:01")]
)
def test_clock_is_minutes_and_seconds(ms: int, text: str) -> None:
    assert words.clock(ms) == text


@pytest.mark.parametrize(
    ("text", "ms"), [("27:32", 1_652_000), ("27", 1_620_000), ("27.5", 1_650_000), ("0:05", 5000)]
)
def test_clock_is_read_from_minutes_and_seconds_or_minutes(text: str, ms: int) -> None:
    assert words.parse_clock(text) == ms


@pytest.mark.parametrize("text", ["", "27:61", "-3", "half time", "1:2:3"])
def test_what_is_no_clock_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RiftError) as refused:
        words.parse_clock(text)
    assert "27:32" in refused.value.hint


@pytest.mark.parametrize(
    ("ms", "text"),
    [(840, "840 ms"), (14_200, "14.2 s"), (240_000, "4 min"), (8_000_000, "2 h"), (900_000_000, "10 d")],
)
def test_age_takes_the_unit_that_fits(ms: int, text: str) -> None:
    assert words.age(ms) == text


def test_kill_is_told_without_team_tags() -> None:
    kill = event(3, event_type="CHAMPION_KILL", team="blue", player_id="TSM Bjergsen", victim_id="C9 Hai")
    assert words.event(kill, "TSM", "C9") == "Bjergsen kills Hai"


def test_death_without_killer_names_only_the_victim() -> None:
    assert words.event(event(3, event_type="CHAMPION_KILL", victim_id="Hai")) == "Hai dies"


def test_kill_of_anonymous_players_names_champions() -> None:
    kill = event(3, event_type="CHAMPION_KILL", champion="Ahri", victim_champion="Fizz")
    assert words.event(kill) == "Ahri kills Fizz"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {
                "event_type": "BUILDING_KILL",
                "building": "TOWER",
                "tower_type": "OUTER_TURRET",
                "lane": "MID_LANE",
            },
            "TSM destroys mid outer tower",
        ),
        ({"event_type": "BUILDING_KILL", "building": "INHIBITOR"}, "TSM destroys inhibitor"),
        (
            {
                "event_type": "BUILDING_KILL",
                "building": "TOWER",
                "tower_type": "NEXUS_TURRET",
                "lane": "MID_LANE",
            },
            "TSM destroys nexus tower",
        ),
        (
            {"event_type": "ELITE_MONSTER_KILL", "monster": "DRAGON", "monster_sub": "FIRE_DRAGON"},
            "TSM takes the Infernal Dragon",
        ),
        ({"event_type": "ELITE_MONSTER_KILL", "monster": "DRAGON"}, "TSM takes the Dragon"),
        ({"event_type": "ELITE_MONSTER_KILL", "monster": "BARON_NASHOR"}, "TSM takes Baron"),
        ({"event_type": "MATCH_START"}, "TSM v C9 begins"),
        ({"event_type": "MATCH_END", "winner": "red"}, "C9 wins"),
        ({"event_type": "PAUSE_START"}, "the match is paused"),
        ({"event_type": "TEAM_GOLD", "blue_gold": 1}, ""),
        ({"event_type": "WARD_PLACED"}, ""),
    ],
)
def test_events_worth_telling_are_told_and_small_ones_are_not(values: dict[str, str], text: str) -> None:
    assert words.event(event(1, team="blue", **values), "TSM", "C9") == text
