"""match-v5 timelines."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from riftstream.errors import SourceError
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources import Options
from streams.sources.match_v5 import MatchV5

Event = dict[str, Any]

SCHEMA = for_topic("live-matches")
REAL_START = 1_741_166_459_339


def players_of(frame: int) -> dict[str, Any]:
    return {
        str(number): {
            "totalGold": 500 + 100 * frame + number,
            "level": 1 + frame,
            "minionsKilled": 7 * frame,
            "jungleMinionsKilled": 4 * frame if number in (2, 7) else 0,
            "position": {"x": 100 * number, "y": 200 * number},
        }
        for number in range(1, 11)
    }


def timeline(*events: dict[str, Any], **info: Any) -> dict[str, Any]:
    return {
        "metadata": {"matchId": "NA1_1", "participants": []},
        "info": {
            "endOfGameResult": "GameComplete",
            "frameInterval": 60_000,
            "participants": [{"participantId": n, "puuid": f"puuid-{n}"} for n in range(1, 11)],
            "frames": [
                {
                    "timestamp": 0,
                    "participantFrames": players_of(0),
                    "events": [{"type": "PAUSE_END", "timestamp": 0, "realTimestamp": REAL_START}],
                },
                {"timestamp": 60_000, "participantFrames": players_of(1), "events": list(events)},
            ],
            **info,
        },
    }


def read(tmp_path: Path, *documents: Any, **options: Any) -> tuple[MatchV5, list[list[Event]]]:
    for number, document in enumerate(documents):
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    source = MatchV5(tmp_path, Options(**options))
    return source, list(source.matches())


def only(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event_type"] == kind]


def test_a_building_is_destroyed_by_the_side_that_does_not_own_it(tmp_path: Path) -> None:
    tower = {
        "type": "BUILDING_KILL",
        "timestamp": 50_000,
        "teamId": 100,
        "killerId": 9,
        "buildingType": "TOWER_BUILDING",
        "laneType": "BOT_LANE",
        "towerType": "OUTER_TURRET",
        "position": {"x": 10_504, "y": 1_029},
    }
    by_minions = tower | {"killerId": 0, "teamId": 200, "buildingType": "INHIBITOR_BUILDING"}
    _, (events,) = read(tmp_path, timeline(tower, by_minions))
    first, second = only(events, "BUILDING_KILL")
    assert (first["team"], first["player_id"], first["tower_type"]) == ("red", "puuid-9", "OUTER_TURRET")
    assert (second["team"], second["building"]) == ("blue", "INHIBITOR")
    assert not {"player_id", "tower_type"} & second.keys()


def test_a_pause_moves_event_time_and_not_the_clock(tmp_path: Path) -> None:
    pause = {"type": "PAUSE_START", "timestamp": 20_000, "realTimestamp": REAL_START + 20_000}
    go_on = {"type": "PAUSE_END", "timestamp": 20_000, "realTimestamp": REAL_START + 320_000}
    level = {"type": "LEVEL_UP", "timestamp": 30_000, "participantId": 3, "level": 2}
    _, (events,) = read(tmp_path, timeline(pause, go_on, level))
    told = [
        (e["event_type"], e["game_time_ms"], e["event_time"] - REAL_START)
        for e in events
        if e["event_type"] in ("PAUSE_START", "PAUSE_END", "LEVEL_UP")
    ]
    assert told == [
        ("PAUSE_START", 20_000, 20_000),
        ("PAUSE_END", 20_000, 320_000),
        ("LEVEL_UP", 30_000, 330_000),
    ]


def test_snapshots_sum_gold_and_count_kills_so_far(tmp_path: Path) -> None:
    kill = {
        "type": "CHAMPION_KILL",
        "timestamp": 40_000,
        "killerId": 1,
        "victimId": 6,
        "assistingParticipantIds": [2, 3],
    }
    executed = {"type": "CHAMPION_KILL", "timestamp": 41_000, "killerId": 0, "victimId": 1}
    source, (events,) = read(tmp_path, timeline(kill, executed))
    gold = only(events, "TEAM_GOLD")[-1]
    assert gold["blue_gold"] == sum(600 + number for number in range(1, 6))
    assert gold["red_gold"] == sum(600 + number for number in range(6, 11))
    stats = {event["player_id"]: event for event in only(events, "PLAYER_STATS")[10:]}
    scores = {name: (e["kills"], e["deaths"], e["assists"]) for name, e in stats.items()}
    assert scores["puuid-1"] == (1, 1, 0)
    assert scores["puuid-2"] == (0, 0, 1)
    assert scores["puuid-6"] == (0, 1, 0)
    assert stats["puuid-7"]["creep_score"] == 11
    assert "team" not in only(events, "CHAMPION_KILL")[1]
    assert source.account.notes["deaths that are nobody's kill"] == 1
    assert source.account.balanced


def test_the_match_document_gives_names_roles_champions_and_patch(tmp_path: Path) -> None:
    positions = ["TOP", "JUNGLE", "MIDDLE", "BOTTOM", "UTILITY"]
    seats = [3, 1, 2, 5, 4, 6, 7, 8, 9, 10]
    match = {
        "metadata": {"matchId": "NA1_1"},
        "info": {
            "gameVersion": "15.5.662.1234",
            "participants": [
                {
                    "participantId": seat,
                    "riotIdGameName": f"Player{seat}",
                    "teamId": 100 if seat <= 5 else 200,
                    "teamPosition": positions[place % 5],
                    "championName": f"Champ{seat}",
                }
                for place, seat in enumerate(seats)
            ],
        },
    }
    ward = {"type": "WARD_PLACED", "timestamp": 30_000, "creatorId": 3, "wardType": "YELLOW_TRINKET"}
    _, (events,) = read(tmp_path, timeline(ward), match)
    assert events[0]["blue_players"] == ["Player3", "Player1", "Player2", "Player5", "Player4"]
    assert events[0]["patch"] == "15.5"
    placed = only(events, "WARD_PLACED")[0]
    assert (placed["player_id"], placed["role"], placed["champion"]) == ("Player3", "top", "Champ3")


@pytest.mark.parametrize(
    ("result", "winner", "last"),
    [("GameComplete", 200, "MATCH_END"), ("Abort_TooFewPlayers", 0, "REMAKE"), ("", 0, "PLAYER_STATS")],
)
def test_how_a_match_ends(tmp_path: Path, result: str, winner: int, last: str) -> None:
    end = {"type": "GAME_END", "timestamp": 59_000, "winningTeam": winner}
    source, (events,) = read(tmp_path, timeline(end, endOfGameResult=result))
    assert events[-1]["event_type"] == last
    assert events[-1].get("winner") == ("red" if last == "MATCH_END" else None)
    assert source.account.balanced


def test_a_timeline_without_a_date_is_put_where_it_was_told(tmp_path: Path) -> None:
    bare = timeline()
    bare["info"]["frames"][0]["events"] = []
    _, (events,) = read(tmp_path, bare, start_ms=1_600_000_000_000, league="SOLOQ")
    assert events[0]["event_time"] == 1_600_000_000_000
    assert events[0]["league"] == "SOLOQ"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"type": "ITEM_PURCHASED"},
        {"type": "ITEM_PURCHASED", "timestamp": 1, "participantId": 0},
        {"type": "ELITE_MONSTER_KILL", "timestamp": 1, "monsterType": "TEEMO", "killerTeamId": 100},
        {"type": "ELITE_MONSTER_KILL", "timestamp": 1, "monsterType": "DRAGON", "killerTeamId": 300},
        {"type": "BUILDING_KILL", "timestamp": 1, "teamId": 7},
        {"type": "CHAMPION_KILL", "timestamp": 1},
    ],
)
def test_an_entry_that_says_nothing_is_rejected_and_the_next_is_read(tmp_path: Path, entry: Any) -> None:
    good = {"type": "LEVEL_UP", "timestamp": 30_000, "participantId": 3, "level": 2}
    source, (events,) = read(tmp_path, timeline(entry, good))
    assert len(only(events, "LEVEL_UP")) == 1
    assert source.account.files["events"].rejected.total() == 2  # this one, and PAUSE_END at zero
    assert source.account.balanced


def test_something_else_is_no_timeline(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no match-v5 timeline"):
        read(tmp_path, {"metadata": {"matchId": "x"}, "info": {}})


def test_the_real_timeline_is_read_whole(data: Path) -> None:
    path = data / "live-samples" / "match-v5-timeline.json.gz"
    raw = json.loads(gzip.decompress(path.read_bytes()))
    source = MatchV5(path, Options())
    (events,) = source.matches()
    named = Counter(entry["type"] for frame in raw["info"]["frames"] for entry in frame["events"])
    got = Counter(event["event_type"] for event in events)
    for kind in (
        *("CHAMPION_KILL", "BUILDING_KILL", "ELITE_MONSTER_KILL", "ITEM_PURCHASED", "LEVEL_UP"),
        *("WARD_PLACED", "WARD_KILL"),
    ):
        assert got[kind] == named[kind], kind
    assert got["TEAM_GOLD"] == len(raw["info"]["frames"])
    assert got["PLAYER_STATS"] == 10 * len(raw["info"]["frames"])
    last = raw["info"]["frames"][-1]["participantFrames"]
    gold = only(events, "TEAM_GOLD")[-1]
    assert gold["blue_gold"] == sum(last[str(number)]["totalGold"] for number in range(1, 6))
    assert events[0]["event_time"] == REAL_START
    assert (events[-1]["event_type"], events[-1]["winner"]) == ("MATCH_END", "red")
    assert [event["ordinal"] for event in events] == list(range(len(events)))
    assert not any(faults(event, SCHEMA) for event in events)
    assert source.account.balanced
