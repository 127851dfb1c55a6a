"""Answers of the live feeds, made of the real matches of the sample: what a feed would have told of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]
Match = list[Event]

ROLES = ("top", "jungle", "mid", "adc", "support")
POSITIONS = ("TOP", "JUNGLE", "MIDDLE", "BOTTOM", "UTILITY")
SIDES = ("blue", "red")
OTHER = {"blue": "red", "red": "blue"}
LANES = {"TOP_LANE": "L2", "MID_LANE": "L1", "BOT_LANE": "L0"}
PLACES = {"OUTER_TURRET": "P3", "INNER_TURRET": "P2", "BASE_TURRET": "P1", "NEXUS_TURRET": "P4"}
DRAGONS = {"AIR": "cloud", "EARTH": "mountain", "FIRE": "infernal", "WATER": "ocean", "ELDER": "elder"}


def rosters(match: Match) -> dict[str, list[tuple[str, str, str]]]:
    """Name, role and champion of the five players of each side."""
    start = match[0]
    return {
        side: list(zip(start[f"{side}_players"], ROLES, start[f"{side}_champions"], strict=True))
        for side in SIDES
    }


def totals(match: Match, clock: int) -> dict[str, Counter[str]]:
    """Kills, deaths and assists of each player up to a clock."""
    found: dict[str, Counter[str]] = {"kills": Counter(), "deaths": Counter(), "assists": Counter()}
    for event in match:
        if event["event_type"] == "CHAMPION_KILL" and event["game_time_ms"] <= clock:
            found["kills"][event["player_id"]] += 1
            found["deaths"][event["victim_id"]] += 1
            found["assists"].update(event.get("assist_ids", ()))
    return found


def all_game_data(match: Match, clock: int) -> dict[str, Any]:
    """What ``allgamedata`` would answer at a clock (ms)."""
    counts = totals(match, clock)
    players = [
        {
            "summonerName": name,
            "team": "ORDER" if side == "blue" else "CHAOS",
            "position": position,
            "rawChampionName": f"game_character_displayname_{champion}",
            "championName": f"The {champion}",
            "level": 1 + clock // 120_000,
            "scores": {
                "kills": counts["kills"][name],
                "deaths": counts["deaths"][name],
                "assists": counts["assists"][name],
                "creepScore": clock // 60_000 * 8 // 10 * 10,
            },
        }
        for side, roster in rosters(match).items()
        for (name, _, champion), position in zip(roster, POSITIONS, strict=True)
    ]
    listed = []
    for number, event in enumerate(match):
        entry = _entry(event, match)
        if event["game_time_ms"] <= clock and entry is not None:
            listed.append({"EventID": number, "EventTime": event["game_time_ms"] / 1000, **entry})
    return {
        "activePlayer": {"summonerName": match[0]["blue_players"][0]},
        "allPlayers": players,
        "events": {"Events": listed},
        "gameData": {"gameTime": clock / 1000},
    }


def _entry(event: Event, match: Match) -> dict[str, Any] | None:
    kind = event["event_type"]
    if kind == "MATCH_START":
        return {"EventName": "GameStart"}
    if kind == "MATCH_END":
        return {"EventName": "GameEnd", "Result": "Win" if event["winner"] == "blue" else "Lose"}
    side = event.get("team", "blue")
    if kind == "CHAMPION_KILL":
        return {
            "EventName": "ChampionKill",
            "KillerName": event["player_id"],
            "VictimName": event["victim_id"],
            "Assisters": event.get("assist_ids", []),
        }
    if kind == "BUILDING_KILL":
        owner = "TOrder" if side == "red" else "TChaos"
        lane = LANES[event["lane"]]
        killer = {"KillerName": "Minion_T100L1S01N0001", "Assisters": []}
        if event["building"] == "INHIBITOR":
            return {"EventName": "InhibKilled", "InhibKilled": f"Inhib_{owner}_{lane}_P1_77", **killer}
        tower = f"Turret_{owner}_{lane}_{PLACES[event['tower_type']]}_123_0"
        return {"EventName": "TurretKilled", "TurretKilled": tower, **killer}
    if kind == "ELITE_MONSTER_KILL":
        killer = {"KillerName": match[0][f"{side}_players"][1], "Assisters": []}
        if event["monster"] == "DRAGON":
            drake = event["monster_sub"].split("_")[0].capitalize()
            return {"EventName": "DragonKill", "DragonType": drake, **killer}
        name = {"RIFTHERALD": "HeraldKill", "BARON_NASHOR": "BaronKill"}[event["monster"]]
        return {"EventName": name, **killer}
    return None


def window(match: Match, start_ms: int, frames: list[tuple[int, int, str]]) -> dict[str, Any]:
    """What ``window`` would answer: frames of (time since the first in ms, match clock in ms, state)."""
    metadata: dict[str, Any] = {"patchVersion": "7.14.194.6127"}
    for number, side in enumerate(SIDES):
        tag = match[0][f"{side}_team"]
        metadata[f"{side}TeamMetadata"] = {
            "esportsTeamId": str(number),
            "participantMetadata": [
                {
                    "participantId": 1 + 5 * number + place,
                    "summonerName": f"{tag} {name}",
                    "championId": champion,
                    "role": "bottom" if role == "adc" else role,
                }
                for place, (name, role, champion) in enumerate(rosters(match)[side])
            ],
        }
    return {
        "esportsGameId": "1000",
        "esportsMatchId": "999",
        "gameMetadata": metadata,
        "frames": [_frame(match, start_ms + since, clock, state) for since, clock, state in frames],
    }


def _frame(match: Match, time: int, clock: int, state: str) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    past = [event for event in match if event["game_time_ms"] <= clock]
    counts = totals(match, clock)
    frame: dict[str, Any] = {"rfc460Timestamp": stamp, "gameState": state}
    for number, side in enumerate(SIDES):
        mine = [event for event in past if event.get("team") == side]
        monsters = [event for event in mine if event["event_type"] == "ELITE_MONSTER_KILL"]
        gold = [event[f"{side}_gold"] for event in past if event["event_type"] == "TEAM_GOLD"]
        frame[f"{side}Team"] = {
            "totalGold": gold[-1] if gold else 0,
            "inhibitors": sum(event.get("building") == "INHIBITOR" for event in mine),
            "towers": sum(event.get("building") == "TOWER" for event in mine),
            "barons": sum(event["monster"] == "BARON_NASHOR" for event in monsters),
            "totalKills": sum(event["event_type"] == "CHAMPION_KILL" for event in mine),
            "dragons": [
                DRAGONS[event["monster_sub"].split("_")[0]]
                for event in monsters
                if event["monster"] == "DRAGON"
            ],
            "participants": [
                {
                    "participantId": 1 + 5 * number + place,
                    "totalGold": 500 + clock // 200,
                    "level": 1 + clock // 120_000,
                    "kills": counts["kills"][name],
                    "deaths": counts["deaths"][name],
                    "assists": counts["assists"][name],
                    "creepScore": clock // 7_500,
                }
                for place, (name, _, _) in enumerate(rosters(match)[side])
            ],
        }
    return frame
